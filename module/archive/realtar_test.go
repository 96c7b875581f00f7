package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module/archive"
)

// runTar packs a folder with the tar program and returns the archive.
func runTar(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.tar.gz")
	cmd := exec.CommandContext(t.Context(), "tar", append(append([]string{"-czf", out, "-C", dir}, args...), ".")...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("tar %v: %v\n%s", args, err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestArchivesOfTheTarProgram(t *testing.T) {
	t.Parallel()
	dir := makeFolder(t, false)
	if err := os.Link(filepath.Join(dir, "run.sh"), filepath.Join(dir, "lib.d", "same")); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sparse.WriteAt([]byte("end"), 40_000_000); err != nil {
		t.Fatal(err)
	}
	if err := sparse.Close(); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "pax", "oldgnu"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			data := runTar(t, dir, "--format="+format, "--sparse")
			report := accept(t, data, runScript)
			if len(report.Warnings) > 0 || report.Size > 1_000_000 {
				t.Errorf("report: %+v", report)
			}
			e := runScript
			e.Limits.File = 40_000_000
			refuse(t, data, e, "sparse: has 40.000003 MB, the limit for a file is 40 MB")
			e.Limits = archive.Limits{Decompressed: 40_000_000}
			refuse(t, data, e, "the limit is 40 MB")
			target := t.TempDir()
			if err := archive.Extract(t.Context(), bytes.NewReader(data), target, archive.Limits{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tree(t, dir), tree(t, target)); diff != "" {
				t.Errorf("unpacked (-packed +unpacked):\n%s", diff)
			}
		})
	}
}

func TestHugeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	// A header says that two megabytes of names follow; the library gives up at one.
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 2 << 20}); err != nil {
		t.Fatal(err)
	}
	raw := append(buf.Bytes(), make([]byte, 2<<20)...)
	raw[156] = 'x'
	sum := 0
	copy(raw[148:156], "        ")
	for _, b := range raw[:512] {
		sum += int(b)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	refuse(t, zip(t, raw), runScript, "header field too long")
}

func BenchmarkInspect(b *testing.B) {
	random := make([]byte, 1<<20)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range random { // compresses to about a half, as programs do
		random[i] = byte(source.IntN(16))
	}
	entries := []entry{run()}
	for i := range 64 {
		entries = append(entries, file(fmt.Sprintf("lib/%d.so", i), string(random)))
	}
	data := makeArchive(b, entries...)
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.Copy(io.Discard, zr)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n)
	for b.Loop() {
		if _, err := archive.Inspect(b.Context(), bytes.NewReader(data), runScript); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleInspect() {
	var buf strings.Builder
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	for _, h := range []tar.Header{
		{Name: "dist/main.py", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "venv/bin/python3", Typeflag: tar.TypeSymlink, Linkname: "/usr/bin/python3"},
	} {
		_ = w.WriteHeader(&h)
	}
	_, _ = w.Close(), zip.Close()

	_, err := archive.Inspect(context.Background(), strings.NewReader(buf.String()), archive.Expect{Entrypoint: "main.py"})
	fmt.Println(err)
	// Output:
	// the archive is refused:
	//   venv/bin/python3: "/usr/bin/python3": is a link to an absolute path; make the environment with python3 -m venv --copies
	//   main.py: is the entrypoint but not in the archive; did you mean dist/main.py?
}
