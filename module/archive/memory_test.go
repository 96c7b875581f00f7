package archive_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/modfarm/modfarm/module/archive"
)

// most is the most memory an inspection may take, in bytes.
const most = 64 << 20

// peak runs an inspection of a generated archive and returns the largest heap seen.
func peak(t *testing.T, e archive.Expect, generate func(*tar.Writer) error) (uint64, error) {
	t.Helper()
	// The archive goes through a file so that only the inspection is measured.
	f, err := os.Create(filepath.Join(t.TempDir(), "archive.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	zip, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(zip)
	if err := errors.Join(generate(w), w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan error, 1)
	go func() {
		_, err := archive.Inspect(t.Context(), f, e)
		done <- err
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var highest uint64
	for {
		select {
		case err := <-done:
			return highest, err
		case <-tick.C:
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if used := now.HeapAlloc - min(before.HeapAlloc, now.HeapAlloc); used > highest {
				highest = used
			}
		}
	}
}

func TestMemoryStaysFlat(t *testing.T) { // not parallel: it measures the whole process
	if testing.Short() {
		t.Skip("generates a million entries")
	}
	add := func(w *tar.Writer, e entry) error {
		err := w.WriteHeader(&tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.body)), PAXRecords: e.pax})
		if err == nil {
			_, err = io.WriteString(w, e.body)
		}
		return err
	}
	many := func(n int, next func(i int) entry) func(*tar.Writer) error {
		return func(w *tar.Writer) error {
			if err := add(w, run()); err != nil {
				return err
			}
			for i := range n {
				if err := add(w, next(i)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	long := strings.Repeat("long-name/", 20)
	library := linkedELF{machine: 183, headers: 64, strs: 400, dyn: 4096, needed: []string{"a.so", "b.so", strings.Repeat("c", 1000)}}.bytes()
	var zeros [1 << 20]byte
	for _, tc := range []struct {
		name     string
		generate func(*tar.Writer) error
		want     string // of the refusal; empty: accepted
	}{
		{"a million files and a library with everything far behind", func(w *tar.Writer) error {
			next := func(i int) entry { return file(fmt.Sprintf("%s%d", long, i), "") }
			if err := many(archive.MaxEntries-2, next)(w); err != nil {
				return err
			}
			far := linkedELF{machine: 183, headers: 64, strs: 400, dyn: 20 << 20, needed: []string{"a.so"}}.bytes()
			return add(w, file("x.so", far))
		}, ""},
		{"too many files", many(archive.MaxEntries+10, func(i int) entry { return file(fmt.Sprint(i), "") }), "more than 1000000 files"},
		{"too many folders in names", many(archive.MaxEntries, func(i int) entry { return file(fmt.Sprintf("%d/a/b/c/d", i), "") }), "more than 1000000 files"},
		{"endless links", many(100_000, func(i int) entry { return symlink(fmt.Sprint(i), long+fmt.Sprint(i)) }), ""},
		{"endless winding links", many(100_000, func(i int) entry { return symlink(fmt.Sprint(i), "a/../b") }), "too many links with .. in the middle"},
		{"endless faults", many(100_000, func(i int) entry { return symlink(fmt.Sprint(i), "/"+long) }), "more faults"},
		{"endless names behind a link", many(100_000, func(i int) entry {
			if i == 0 {
				return symlink("d", "e")
			}
			return file("d/"+strings.Repeat("a/", 250)+fmt.Sprint(i), "")
		}), "lies behind the symbolic link d"},
		{"endless deep names", many(50_000, func(i int) entry { return file(strings.Repeat("long-name/", 120)+fmt.Sprintf("%d/x", i), "") }), ""},
		{"endless libraries", many(30_000, func(i int) entry { return file(fmt.Sprintf("%s%d.so", long, i), library) }), ""},
		{"a large file", func(w *tar.Writer) error {
			if err := add(w, run()); err != nil {
				return err
			}
			if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 30}); err != nil {
				return err
			}
			for range 1 << 10 {
				if _, err := w.Write(zeros[:]); err != nil {
					return err
				}
			}
			return nil
		}, ""},
		{"large headers", many(300, func(i int) entry {
			e := file(fmt.Sprint(i), "")
			e.pax = map[string]string{"X.note": strings.Repeat("x", 900_000)}
			return e
		}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			used, err := peak(t, runScript, tc.generate)
			var refused *archive.Refused
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error: %v", err)
			}
			t.Logf("%.1f MiB", float64(used)/(1<<20))
			if used > most {
				t.Errorf("took %d MiB", used>>20)
			}
		})
	}
}
