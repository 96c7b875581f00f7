package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

func FuzzInspect(f *testing.F) {
	f.Add(makeTar(f, run(), symlink("a", "run.sh"), hardlink("b", "run.sh"), folder("d/")))
	f.Add(makeTar(f, program("run.sh", minimalELF(183, 2))))
	f.Add(makeTar(f, program("run.sh", linkedELF{machine: 183, headers: 64, strs: 400, dyn: 600, needed: []string{"l.so"}, interp: "x"}.bytes()), file("l.so", minimalELF(62, 3))))
	f.Add(makeTar(f, symlink("a", "../x"), symlink("d", "b/../.."), file("a/b", "")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		data := zip(t, raw)
		limits := archive.Limits{Compressed: 1 << 20, Decompressed: 4 << 20, File: 1 << 20}
		report, err := archive.Inspect(t.Context(), bytes.NewReader(data), archive.Expect{
			Entrypoint: "run.sh", Platform: module.Platform{OS: "linux", Arch: "arm64"}, FirstRun: "f", Limits: limits, LenientEntrypoint: true,
		})
		if err != nil {
			if report != nil || !errors.Is(err, module.ErrInvalid) || err.Error() == "" {
				t.Fatalf("bad failure: %v, %v", report, err)
			}
			return
		}
		if report.Size != int64(len(data)) || report.TarSize != int64(len(raw)) {
			t.Fatalf("not all was read: %+v", report)
		}
		mustUnpackInside(t, data, limits)
	})
}

// checkInside follows every link in a folder name by name, as a kernel does, and fails
// when one leaves the folder, even towards something that does not exist.
func checkInside(t *testing.T, dir string) {
	t.Helper()
	for name, what := range tree(t, dir) {
		if !strings.HasPrefix(what, "link to ") {
			continue
		}
		at, parts := ".", strings.Split(name, "/")
		for hops := 0; len(parts) > 0 && hops < 40; {
			part := parts[0]
			parts = parts[1:]
			if at == "." && part == ".." {
				t.Fatalf("%s, a %s, leads outside", name, what)
			}
			next := filepath.Join(at, part)
			target, err := os.Readlink(filepath.Join(dir, next))
			if err != nil || part == ".." || part == "." || part == "" {
				at = next
				continue
			}
			if hops++; filepath.IsAbs(target) {
				t.Fatalf("%s, a %s, leads to %s", name, what, target)
			}
			parts = append(strings.Split(target, "/"), parts...)
		}
	}
}

// mustUnpackInside holds that what inspection accepts can be unpacked, and that
// nothing in it leads outside.
func mustUnpackInside(t *testing.T, data []byte, limits archive.Limits) {
	t.Helper()
	dir := t.TempDir()
	if err := archive.Extract(t.Context(), bytes.NewReader(data), dir, limits); err != nil {
		t.Fatalf("accepted but not unpacked: %v", err)
	}
	checkInside(t, dir)
}

// FuzzLinks makes archives of valid entries, one a line: its type, name and target.
func FuzzLinks(f *testing.F) {
	for _, seed := range []string{
		"f a/b\nl c a/b\nh d a/b\nd e",
		"l a ..\nl b a/..\nf a/c",
		"d d\nl d/t ..\nl e d/t/../x\nl f e/../..",
		"l a b\nl b a\nh c a\nl x/y ../a/../b",
		"f A\nf a\nl a/../b c\nh b ./A",
	} {
		f.Add(seed)
	}
	types := map[string]byte{"f": tar.TypeReg, "d": tar.TypeDir, "l": tar.TypeSymlink, "h": tar.TypeLink}
	f.Fuzz(func(t *testing.T, text string) {
		entries := []entry{run()}
		for line := range strings.Lines(text) {
			parts := strings.Split(strings.TrimSuffix(line, "\n"), " ")
			if kind := types[parts[0]]; kind != 0 && len(parts) > 1 && !strings.Contains(line, "\x00") {
				e := entry{name: parts[1], kind: kind, mode: 0o755}
				if len(parts) > 2 && (kind == tar.TypeSymlink || kind == tar.TypeLink) {
					e.link = parts[2]
				}
				entries = append(entries, e)
			}
		}
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, e := range entries {
			if err := w.WriteHeader(&tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode}); err != nil {
				return // it cannot be written, so nobody can send it
			}
		}
		if err := w.Close(); err != nil {
			return
		}
		data := zip(t, buf.Bytes())
		report, err := archive.Inspect(t.Context(), bytes.NewReader(data), runScript)
		if err != nil {
			if report != nil || !errors.Is(err, module.ErrInvalid) {
				t.Fatalf("bad failure: %v, %v", report, err)
			}
			return
		}
		mustUnpackInside(t, data, archive.Limits{})
	})
}
