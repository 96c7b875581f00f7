package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// entry is one entry of a test archive; a name that ends in / is a folder.
type entry struct {
	name, body, link string
	kind             byte
	mode             int64
	pax              map[string]string
}

func file(name, body string) entry {
	return entry{name: name, body: body, kind: tar.TypeReg, mode: 0o644}
}

func program(name, body string) entry {
	return entry{name: name, body: body, kind: tar.TypeReg, mode: 0o755}
}
func folder(name string) entry { return entry{name: name, kind: tar.TypeDir, mode: 0o755} }
func special(name string, kind byte) entry {
	return entry{name: name, kind: kind, mode: 0o644}
}

func symlink(name, target string) entry {
	return entry{name: name, link: target, kind: tar.TypeSymlink, mode: 0o777}
}

func hardlink(name, target string) entry {
	return entry{name: name, link: target, kind: tar.TypeLink, mode: 0o644}
}

// run is an entrypoint for archives that are about something else.
func run() entry { return program("run.sh", "#!/bin/bash\necho\n") }

func makeTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.body)), PAXRecords: e.pax}
		if err := w.WriteHeader(h); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zip(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func makeArchive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	return zip(t, makeTar(t, entries...))
}

func platform(t testing.TB, s string) module.Platform {
	t.Helper()
	p, err := module.ParsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// inspect runs an inspection and returns report and refusal; other errors fail.
func inspect(t testing.TB, data []byte, e archive.Expect) (*archive.Report, *archive.Refused) {
	t.Helper()
	report, err := archive.Inspect(t.Context(), bytes.NewReader(data), e)
	var refused *archive.Refused
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("neither accepted nor refused: %v", err)
	}
	if err != nil && (report != nil || !errors.Is(err, module.ErrInvalid)) {
		t.Fatalf("a refusal with report %v, error %v", report, err)
	}
	return report, refused
}

// accept fails unless the archive is accepted.
func accept(t testing.TB, data []byte, e archive.Expect) *archive.Report {
	t.Helper()
	report, refused := inspect(t, data, e)
	if refused != nil {
		t.Fatal(refused)
	}
	return report
}

// refuse fails unless the archive is refused with the text.
func refuse(t testing.TB, data []byte, e archive.Expect, want string) {
	t.Helper()
	if got := refusal(t, data, e, want); len(got.Faults) == 0 {
		t.Fatalf("refused without a fault: %+v", got)
	}
}

// refusal fails unless the archive is refused with the text, and returns the refusal.
func refusal(t testing.TB, data []byte, e archive.Expect, want string) *archive.Refused {
	t.Helper()
	report, refused := inspect(t, data, e)
	if refused == nil {
		t.Fatalf("accepted: %+v", report)
	}
	if !strings.Contains(refused.Error(), want) {
		t.Fatalf("refused with\n%v\nwant in it\n%s", refused, want)
	}
	return refused
}

// builds holds the programs of goProgram: a real compiler takes seconds.
var builds = struct {
	sync.Mutex
	bytes map[string]string
}{bytes: map[string]string{}}

// goProgram compiles an empty program for a platform, such as "linux/arm64".
func goProgram(t testing.TB, spelled string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles programs")
	}
	goos, goarch, _ := strings.Cut(spelled, "/")
	builds.Lock()
	defer builds.Unlock()
	if got, ok := builds.bytes[spelled]; ok {
		return got
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, source)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOARM=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build for %s: %v\n%s", spelled, err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	builds.bytes[spelled] = string(data)
	return builds.bytes[spelled]
}
