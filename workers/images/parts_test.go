package images_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/images"
)

func TestDebFilesReadsSimulation(t *testing.T) {
	t.Parallel()
	const simulation = `NOTE: This is only a simulation!
Inst gcc-12-base (12.2.0-14+deb12u1 Debian:12.11/oldstable [arm64])
Inst login:arm64 (1:4.13+dfsg1-1+b1 Debian:12.11/oldstable, Debian-Security:12 [arm64]) []
Inst ca-certificates (20250419~deb12u2 Debian-Security:12/oldstable [all])
Conf gcc-12-base (12.2.0-14+deb12u1 Debian:12.11/oldstable [arm64])
`
	want := []string{
		"/d/gcc-12-base_12.2.0-14+deb12u1_arm64.deb",
		"/d/login_1%3a4.13+dfsg1-1+b1_arm64.deb",
		"/d/ca-certificates_20250419~deb12u2_all.deb",
	}
	if diff := cmp.Diff(want, images.DebFiles("/d", simulation)); diff != "" {
		t.Error(diff)
	}
}

func TestParsePackages(t *testing.T) {
	t.Parallel()
	got, err := images.ParsePackages("bash:arm64 5.2.15-2 installed\ntzdata:all 2025b installed\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"bash:arm64": "5.2.15-2", "tzdata:all": "2025b"}, got); diff != "" {
		t.Error(diff)
	}
	_, err = images.ParsePackages("bash:arm64 5.2.15-2 installed\njq:arm64 1.6 unpacked\n")
	if err == nil || !strings.Contains(err.Error(), "jq:arm64") {
		t.Errorf("got %v, want an error naming the package that is only unpacked", err)
	}
}

func TestUnzipGoRestoresModesAndModules(t *testing.T) {
	t.Parallel()
	const prefix = "golang.org/toolchain@v0.0.1-go1.26.8.linux-arm64/"
	file := filepath.Join(t.TempDir(), "go.zip")
	writeZip(t, file, map[string]string{
		prefix + "bin/go":                        "go",
		prefix + "pkg/tool/linux_arm64/compile":  "compile",
		prefix + "src/_go.mod":                   "module std\n",
		prefix + "src/fmt/print.go":              "package fmt\n",
		"golang.org/other@v1/should/not/be/here": "x",
	})
	dir := filepath.Join(t.TempDir(), "go")
	if err := images.UnzipGo(file, "v0.0.1-go1.26.8.linux-arm64", dir); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]os.FileMode)
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		got[strings.TrimPrefix(name, dir+"/")] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]os.FileMode{"bin/go": 0o755, "pkg/tool/linux_arm64/compile": 0o755, "src/go.mod": 0o644, "src/fmt/print.go": 0o644}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnzipGoStaysInItsFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "go.zip")
	writeZip(t, file, map[string]string{"golang.org/toolchain@v1/../../escaped": "x"})
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := images.UnzipGo(file, "v1", dir); err == nil {
		t.Error("a name that climbs out of the folder was accepted")
	}
	if _, err := os.Stat(filepath.Join(dir, "../../escaped")); err == nil {
		t.Error("a file was written outside of the folder")
	}
}

func writeZip(t *testing.T, file string, members map[string]string) {
	t.Helper()
	var data bytes.Buffer
	w := zip.NewWriter(&data)
	for name, text := range members {
		member, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(member, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDownloadGoRefusesAnotherChecksum(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "other.zip")
	writeZip(t, other, map[string]string{"golang.org/toolchain@v0.0.1-go1.26.8.linux-arm64/bin/go": "malice"})
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		http.ServeFile(w, r, other)
	}))
	defer proxy.Close()
	m := &images.Maker{CacheDir: t.TempDir(), Env: images.BuildEnv{GOPROXY: "off," + proxy.URL + "/,direct"}}
	_, err := images.DownloadGo(m, t.Context(), platform(t, "linux/arm64"))
	if err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("got %v, want a checksum error", err)
	}
	want := []string{"/golang.org/toolchain/@v/v0.0.1-go1.26.8.linux-arm64.zip"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}

func TestRebaseLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for link, target := range map[string]string{
		"inside.pem": "/some/root/usr/share/ca/x.crt", "hash.0": "inside.pem", "outside.pem": "/usr/share/y.crt",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bundle.crt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := images.RebaseLinks(dir, "/some/root"); err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]string{"inside.pem": "/usr/share/ca/x.crt", "hash.0": "inside.pem", "outside.pem": "/usr/share/y.crt"} {
		if got, err := os.Readlink(filepath.Join(dir, link)); err != nil || got != want {
			t.Errorf("%s points to %q (%v), want %q", link, got, err, want)
		}
	}
}

func TestTarFolderOwnsByRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "go"), []byte("go"), 0o755); err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := images.TarFolder(&data, dir, "go"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&data); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Mode != 0o755 {
			t.Errorf("%s: owner %d:%d, mode %o", header.Name, header.Uid, header.Gid, header.Mode)
		}
		got = append(got, header.Name)
	}
	if diff := cmp.Diff([]string{"go/", "go/bin/", "go/bin/go"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLockIsExclusiveAndGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	waiting := make(chan string, 1)
	first := &images.Maker{CacheDir: dir}
	second := &images.Maker{CacheDir: dir, Progress: func(s string) { waiting <- s }}
	unlock, err := images.Lock(first, t.Context(), "x", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-waiting
		cancel()
	}()
	if _, err := images.Lock(second, ctx, "x", "somebody else has it"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v while the lock was held, want the context's error", err)
	}
	unlock()
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	unlock, err = images.Lock(second, ctx, "x", "")
	if err != nil {
		t.Fatalf("the lock was not given back: %v", err)
	}
	unlock()
}

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	r, err := images.Run(platform(t, "linux/arm64"), "")
	if err != nil {
		t.Fatal(err)
	}
	m := &images.Maker{CacheDir: t.TempDir()}
	if _, err := m.Record(r); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("got %v for an image that was never made, want not found", err)
	}
	want := images.Record{
		Ref: r.Ref(), Recipe: r, RecipeHash: r.Hash(), ImageID: "sha256:1", Source: "bootstrap",
		MadeAt: time.Unix(1e9, 0).UTC(), Seconds: 12, Packages: map[string]string{"bash:arm64": "5.2.15-2"},
	}
	if err := images.WriteRecord(m, r, want); err != nil {
		t.Fatal(err)
	}
	got, err := m.Record(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
