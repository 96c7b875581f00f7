package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// makeFolder writes the same small module each time, in an order of its own.
func makeFolder(t testing.TB, backwards bool) string {
	t.Helper()
	dir := t.TempDir()
	steps := []func() error{
		func() error { return os.WriteFile(filepath.Join(dir, "run.sh"), []byte("#!/bin/sh\n"), 0o700) },
		func() error { return os.WriteFile(filepath.Join(dir, "meta.json"), []byte("{}"), 0o600) },
		func() error { return os.MkdirAll(filepath.Join(dir, "lib", "empty"), 0o755) },
		func() error { return os.MkdirAll(filepath.Join(dir, "lib.d"), 0o700) },
		func() error {
			return os.WriteFile(filepath.Join(dir, "lib.d", strings.Repeat("é", 60)+".txt"), bytes.Repeat([]byte("text"), 700_000), 0o664)
		},
		func() error { return os.Symlink("../run.sh", filepath.Join(dir, "lib.d", "run")) },
	}
	for i := range steps {
		step := steps[i]
		if backwards { // folders come before what is in them anyway
			step = steps[[]int{3, 5, 4, 2, 1, 0}[i]]
		}
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pack(t testing.TB, dir string, when time.Time) []byte {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	var buf bytes.Buffer
	if err := archive.Pack(t.Context(), &buf, root, archive.PackOptions{ModTime: when}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var commitTime = time.Date(2026, 11, 22, 15, 4, 5, 6789, time.FixedZone("", 7200))

func TestPackIsReproducible(t *testing.T) { // not parallel: it changes GOMAXPROCS
	first := pack(t, makeFolder(t, false), commitTime)
	second := pack(t, makeFolder(t, true), commitTime)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	third := pack(t, makeFolder(t, false), commitTime)
	runtime.GOMAXPROCS(7)
	fourth := pack(t, makeFolder(t, false), commitTime)
	for i, other := range [][]byte{second, third, fourth} {
		if !bytes.Equal(first, other) {
			t.Errorf("packing %d differs: %x, %x", i+2, sha256.Sum256(first), sha256.Sum256(other))
		}
	}
	if other := pack(t, makeFolder(t, false), commitTime.Add(time.Second)); bytes.Equal(first, other) {
		t.Error("the time is not in it")
	}
}

func TestPackedHeaders(t *testing.T) {
	t.Parallel()
	zip, err := gzip.NewReader(bytes.NewReader(pack(t, makeFolder(t, false), commitTime)))
	if err != nil {
		t.Fatal(err)
	}
	if zip.Name != "" || zip.Comment != "" || !zip.ModTime.IsZero() || zip.Extra != nil || zip.OS != 255 {
		t.Errorf("gzip header: %+v", zip.Header)
	}
	var got []string
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%c %o %d/%d %q%q %s %s %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime.UTC().Format(time.RFC3339Nano), h.Name, h.Linkname))
	}
	const at = `0/0 """" 2026-11-22T13:04:05Z `
	want := []string{
		"5 755 " + at + "lib/ ", "5 755 " + at + "lib/empty/ ", "5 755 " + at + "lib.d/ ", "2 777 " + at + "lib.d/run ../run.sh",
		"0 644 " + at + "lib.d/" + strings.Repeat("é", 60) + ".txt ", "0 644 " + at + "meta.json ", "0 755 " + at + "run.sh ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestPackInspectExtract(t *testing.T) {
	t.Parallel()
	source := makeFolder(t, false)
	data := pack(t, source, commitTime)
	report := accept(t, data, archive.Expect{Entrypoint: "run.sh", Platform: platform(t, "linux/arm64"), FirstRun: "run.sh"})
	if len(report.Warnings) > 0 || !report.HasManifest {
		t.Errorf("report: %+v", report)
	}
	target := t.TempDir()
	if err := archive.Extract(t.Context(), bytes.NewReader(data), target, archive.Limits{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree(t, source), tree(t, target)); diff != "" {
		t.Errorf("unpacked (-packed +unpacked):\n%s", diff)
	}
	if !bytes.Equal(data, pack(t, target, commitTime)) {
		t.Error("packing what was unpacked gives other bytes")
	}
	info, err := os.Stat(filepath.Join(target, "run.sh"))
	if err != nil || !info.ModTime().Equal(commitTime.Truncate(time.Second)) {
		t.Errorf("time of run.sh: %v, %v", info, err)
	}
}

// tree lists a folder: names, kinds, who may execute, content or target.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		switch d.Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(at)
			out[name] = "link to " + target
			return err
		case fs.ModeDir:
			out[name] = "folder"
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(at)
		out[name] = fmt.Sprintf("file %v %x", info.Mode()&0o100 != 0, sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPackRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	err = archive.Pack(t.Context(), io.Discard, root, archive.PackOptions{})
	if !errors.Is(err, module.ErrInvalid) || !strings.Contains(err.Error(), "pipe: ") {
		t.Errorf("error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := archive.Pack(ctx, io.Discard, root, archive.PackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPackReportsAFullDisk(t *testing.T) {
	t.Parallel()
	root, err := os.OpenRoot(makeFolder(t, false))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	full := errors.New("no space left")
	if err := archive.Pack(t.Context(), writerFunc(func([]byte) (int, error) { return 0, full }), root, archive.PackOptions{}); !errors.Is(err, full) {
		t.Errorf("error: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestExtractStaysInside(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]entry{
		"climbing":             {file("../out", "x")},
		"absolute":             {file("/tmp/out", "x")},
		"through a link":       {symlink("d", "../.."), file("d/out", "x")},
		"through a good link":  {folder("e/"), symlink("d", "e"), file("d/out", "x")},
		"link out":             {symlink("d", "../out")},
		"absolute link":        {symlink("d", "/etc")},
		"winding link":         {symlink("a/top", ".."), symlink("b", "a/top/../out")},
		"hard link out":        {hardlink("x", "../../etc/passwd")},
		"hard link to nothing": {hardlink("x", "y")},
		"hard link to a link":  {symlink("l", "x"), hardlink("y", "l")},
		"twice":                {file("x", "1"), file("x", "2")},
		"link over a file":     {file("x", "1"), symlink("x", "y")},
		"device":               {special("null", tar.TypeChar)},
		"large":                {file("x", strings.Repeat("x", 2000))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			err := archive.Extract(t.Context(), bytes.NewReader(makeArchive(t, entries...)), dir, archive.Limits{File: 1000})
			if err == nil {
				t.Errorf("accepted: %v", tree(t, dir))
			}
			outside, err := os.ReadDir(parent)
			if err != nil || len(outside) != 1 {
				t.Errorf("outside: %v, %v", outside, err)
			}
		})
	}
}

func TestExtractDropsDangerousBits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := makeArchive(t, entry{name: "su", kind: tar.TypeReg, mode: 0o6711}, entry{name: "none", kind: tar.TypeReg, mode: 0})
	if err := archive.Extract(t.Context(), bytes.NewReader(data), dir, archive.Limits{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"su": 0o711, "none": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestExtractRefusesDamagedArchives(t *testing.T) {
	t.Parallel()
	data := makeArchive(t, file("x", strings.Repeat("text", 100_000)))
	for _, cut := range []int{0, 5, len(data) / 2, len(data) - 2} {
		err := archive.Extract(t.Context(), bytes.NewReader(data[:cut]), t.TempDir(), archive.Limits{})
		if _, ok := errors.AsType[*archive.Refused](err); !ok {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

// TestRealVirtualEnvironment packs what Python itself makes.
func TestRealVirtualEnvironment(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	host := module.HostPlatform()
	environment := func(args ...string) string {
		dir := t.TempDir()
		cmd := exec.Command(python, append([]string{"-m", "venv"}, append(args, filepath.Join(dir, "venv"))...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("python3 cannot make environments here: %v\n%s", err, out)
		}
		if err := os.WriteFile(filepath.Join(dir, "run.sh"), []byte("#!/bin/sh\nexec ./venv/bin/python -m module\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	copies := environment("--copies")
	e := archive.Expect{Entrypoint: "run.sh", Platform: host}
	data := pack(t, copies, commitTime)
	report := accept(t, data, e)
	t.Logf("%d entries, %d bytes, warnings %q", report.Entries, report.Size, report.Warnings)
	for _, w := range report.Warnings {
		if !strings.HasPrefix(w, "files that are not for "+host.String()) || !strings.Contains(w, ".exe (windows/") {
			t.Errorf("unexpected warning: %s", w)
		}
	}
	target := t.TempDir()
	if err := archive.Extract(t.Context(), bytes.NewReader(data), target, archive.Limits{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree(t, copies), tree(t, target)); diff != "" {
		t.Errorf("unpacked (-packed +unpacked):\n%s", diff)
	}
	if out, err := exec.Command(filepath.Join(target, "venv", "bin", "python3"), "-c", "print(6*7)").CombinedOutput(); err != nil || string(out) != "42\n" {
		t.Errorf("the unpacked interpreter: %v\n%s", err, out)
	}
	if host != platform(t, "linux/arm64") {
		e.Platform = platform(t, "linux/arm64")
		if refused := refusal(t, data, e, "is not for linux/arm64"); !refused.WrongPlatform {
			t.Error("not marked as built for another platform")
		}
	}
	refuse(t, pack(t, environment("--symlinks", "--without-pip"), commitTime), archive.Expect{Entrypoint: "run.sh", Platform: host},
		"make the environment with python3 -m venv --copies")
}
