package workers_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/workers"
)

// keptFiles are the files of a log as they are on disk.
type keptFiles struct{ log, note []byte }

func filesOf(t *testing.T, dir string) (f keptFiles) {
	t.Helper()
	var err error
	if f.log, err = os.ReadFile(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	if f.note, err = os.ReadFile(filepath.Join(dir, "log.note")); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f keptFiles) put(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range map[string][]byte{"log": f.log, "log.note": f.note} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// torn is what a process leaves that is killed somewhere between two states: the log is written first, then the note,
// each perhaps in part.
func torn(r *rand.Rand, before, after keptFiles) keptFiles {
	if r.IntN(2) == 0 { // within the log
		n := min(len(before.log), len(after.log))
		return keptFiles{log: after.log[:n+r.IntN(len(after.log)-n+1)], note: before.note}
	}
	note := bytes.Clone(after.note)
	for i := range note {
		if i < len(before.note) && note[i] == before.note[i] {
			continue
		}
		cut := i + r.IntN(200) // of what was written, only the beginning
		for k := cut; k < len(note); k++ {
			note[k] = 0
			if k < len(before.note) {
				note[k] = before.note[k]
			}
		}
		break
	}
	return keptFiles{log: after.log, note: note}
}

// TestKilledLogIsWhole kills a worker at any moment of its writing, again and again: the log becomes what it would
// have been, and readers never see more of it than what stays.
func TestKilledLogIsWhole(t *testing.T) {
	t.Parallel()
	const line = 40
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		alphabets := []string{"ab", "abc\n", "aab4%61\n\r", "abcdefghijklmnopqrstuvwxyz \n"}
		alphabet := alphabets[r.IntN(len(alphabets))]
		text := func(n int) string {
			b := make([]byte, n)
			for i := range b {
				b[i] = alphabet[r.IntN(len(alphabet))]
			}
			return string(b)
		}
		secrets := []string{"ab" + strings.Trim(text(3+r.IntN(6)), "\r\n") + "ab", "ba" + strings.Trim(text(3+r.IntN(20)), "\r\n") + "a"}
		var in strings.Builder
		for in.Len() < 2000 {
			in.WriteString(text(r.IntN(60)))
			if r.IntN(3) == 0 {
				in.WriteString(secrets[r.IntN(len(secrets))])
			}
		}
		input, total := []byte(in.String()), int64(10000)
		if r.IntN(4) == 0 {
			total = 1000
		}
		name := fmt.Sprintf("seed %d, secrets %q, input %q", seed, secrets, input)
		open := func(dir string) (workers.KeptLog, int64) {
			l, raw, err := workers.NewKeptLog(dir, secrets, line, total)
			if err != nil {
				t.Fatal(err)
			}
			return l, raw
		}
		begin := func(l workers.KeptLog) {
			l.Step("Prepare")
			l.Say("what comes before " + secrets[0])
			l.Step("Build")
			if err := l.Stream("build"); err != nil {
				t.Fatal(err)
			}
		}
		whole, _ := open(t.TempDir())
		begin(whole)
		if _, err := whole.Write(input); err != nil {
			t.Fatal(err)
		}
		want := whole.End()

		dir := t.TempDir()
		l, at := open(dir)
		begin(l)
		var seen []byte
		for at < int64(len(input)) {
			before, shown := filesOf(t, dir), l.Shown()
			next := min(at+int64(1+r.IntN(50)), int64(len(input)))
			if _, err := l.Write(input[at:next]); err != nil {
				t.Fatal(err)
			}
			at = next
			if r.IntN(4) != 0 {
				continue
			}
			files := torn(r, before, filesOf(t, dir))
			if r.IntN(3) == 0 { // all was written, and readers saw it
				files, shown = filesOf(t, dir), l.Shown()
			}
			l.Abandon()
			seen = shown
			dir = files.put(t)
			l, at = open(dir)
			if again := l.Shown(); !bytes.HasPrefix(again, seen) {
				t.Fatalf("%s:\nreaders saw %q, and now it is %q", name, seen, again)
			}
			if at != l.Settled() {
				t.Fatalf("%s: goes on at %d, settled are %d", name, at, l.Settled())
			}
		}
		if got := l.End(); !bytes.Equal(got, want) {
			t.Fatalf("%s:\ngot  %q\nwant %q", name, got, want)
		}
	}
}

// TestUnsettledOutputEnds writes what might be a secret for ever: the build must not wait for a better moment.
func TestUnsettledOutputEnds(t *testing.T) {
	t.Parallel()
	l, _, err := workers.NewKeptLog(t.TempDir(), []string{"abcabcabcabcx", "cabcabcabcabcabcabcy"}, 1<<20, 100<<20)
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte("abc\n"), 8<<10)
	var written int64
	for range 200 {
		if _, err := l.Write(chunk); err != nil {
			t.Fatal(err)
		}
		written += int64(len(chunk))
		if behind := written - l.Settled(); behind > 2<<20 {
			t.Fatalf("%d bytes are not settled", behind)
		}
	}
}
