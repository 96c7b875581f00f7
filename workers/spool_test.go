package workers_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/workers"
)

// pieces reads a whole spool.
func pieces(t *testing.T, s workers.Spool, n int) (list []string) {
	t.Helper()
	for offset := int64(0); ; {
		data, step, err := s.Read(offset, n)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			return list
		}
		list = append(list, step+":"+string(data))
		offset += int64(len(data))
	}
}

func newSpool(t *testing.T, limit int64) workers.Spool {
	t.Helper()
	s, err := workers.NewSpool(filepath.Join(t.TempDir(), "log"), limit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, s workers.Spool, text string) {
	t.Helper()
	if n, err := s.Write([]byte(text)); err != nil || n != len(text) {
		t.Fatalf("write: %d, %v", n, err)
	}
}

func TestSpoolKeepsStepsApart(t *testing.T) {
	t.Parallel()
	s := newSpool(t, 1000)
	s.Begin("Fetch")
	write(t, s, "one\n")
	s.Begin("Empty")
	s.Begin("Setup")
	write(t, s, "two\n")
	write(t, s, "three\n")
	want := []string{"Fetch:one\n", "Setup:two\nthree\n"}
	if diff := cmp.Diff(want, pieces(t, s, 100)); diff != "" {
		t.Error(diff)
	}
	want = []string{"Fetch:one", "Fetch:\n", "Setup:two", "Setup:\nth", "Setup:ree", "Setup:\n"}
	if diff := cmp.Diff(want, pieces(t, s, 3)); diff != "" {
		t.Error(diff)
	}
}

func TestSpoolCutsAtCharacters(t *testing.T) {
	t.Parallel()
	s := newSpool(t, 1000)
	s.Begin("S")
	write(t, s, "aé")
	if got := pieces(t, s, 2); cmp.Diff([]string{"S:a", "S:é"}, got) != "" {
		t.Errorf("got %q", got)
	}
	write(t, s, "\xe2\x82") // two thirds of a euro sign
	if got := pieces(t, s, 100); cmp.Diff([]string{"S:aé"}, got) != "" {
		t.Errorf("before the rest came: %q", got)
	}
	s.Close()
	if got := pieces(t, s, 100); cmp.Diff([]string{"S:aé\xe2\x82"}, got) != "" {
		t.Errorf("closed: %q", got)
	}
}

func TestSpoolHasALimit(t *testing.T) {
	t.Parallel()
	s := newSpool(t, 10)
	s.Begin("S")
	write(t, s, "123456789012345")
	write(t, s, "more")
	got := strings.Join(pieces(t, s, 1000), "")
	if !strings.HasPrefix(got, "S:1234567890\nThe log is longer than 10 bytes") || strings.Contains(got, "more") {
		t.Errorf("got %q", got)
	}
}

func TestLastLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a\nb\n\n": "b", "10%\r20%\r100%\n": "100%", "x\r\n": "x", "bad \xff": "bad ?",
	} {
		if got := workers.LastLine(in); got != want {
			t.Errorf("LastLine(%q) = %q, want %q", in, got, want)
		}
	}
}
