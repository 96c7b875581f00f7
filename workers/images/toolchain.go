package images

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/modfarm/modfarm/module"
)

// goRelease is the Go release in builder images.
const goRelease = "1.26.8"

// goDownloadTimeout bounds the download of one toolchain of about 70 MB.
const goDownloadTimeout = 15 * time.Minute

// goSum is the checksum of golang.org/toolchain for platform p, as Go's checksum database
// has it; empty for a platform whose toolchain is compiled on the host.
func goSum(p module.Platform) string {
	switch p.String() {
	case "linux/amd64":
		return "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM="
	case "linux/arm64":
		return "h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc="
	}
	return ""
}

// toolchainVersion is the version of module golang.org/toolchain for platform p.
func toolchainVersion(p module.Platform) string {
	return "v0.0.1-go" + goRelease + "." + p.GOOS() + "-" + p.GOARCH()
}

// installGo puts the Go toolchain of platform p at dir, which must not exist yet.
func (m *Maker) installGo(ctx context.Context, p module.Platform, dir string) error {
	if goSum(p) == "" {
		return m.compileGo(ctx, p, dir)
	}
	file, err := m.downloadGo(ctx, p)
	if err != nil {
		return err
	}
	if err := unzipGo(file, toolchainVersion(p), dir); err != nil {
		return fmt.Errorf("unpacking Go %s for %s: %w", goRelease, p, err)
	}
	return nil
}

// downloadGo returns the file with the toolchain of platform p, verified, and downloads
// it first when the cache lacks it.
func (m *Maker) downloadGo(ctx context.Context, p module.Platform) (string, error) {
	dir, err := m.dir("go")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, toolchainVersion(p)+".zip")
	unlock, err := m.lock(ctx, "go-"+p.Dashed(), "another process downloads Go for "+p.String())
	if err != nil {
		return "", err
	}
	defer unlock()
	if checkGo(file, p) == nil {
		return file, nil
	}
	m.say("downloading Go %s for %s (70 MB)", goRelease, p)
	var failures []error
	for _, proxy := range m.Env.goProxies() {
		from := proxy + "/golang.org/toolchain/@v/" + toolchainVersion(p) + ".zip"
		err := m.download(ctx, from, file)
		if err == nil {
			err = checkGo(file, p)
		}
		if err == nil {
			return file, nil
		}
		failures = append(failures, err)
	}
	return "", fmt.Errorf("downloading Go %s for %s: name a module proxy that serves golang.org/toolchain with GOPROXY: %w", goRelease, p, errors.Join(failures...))
}

// checkGo compares a toolchain's file with the pinned checksum.
func checkGo(file string, p module.Platform) error {
	sum, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		return err
	}
	if sum != goSum(p) {
		return fmt.Errorf("%s has checksum %s, want %s", filepath.Base(file), sum, goSum(p))
	}
	return nil
}

// download writes what url serves to file, and never leaves half of it there.
func (m *Maker) download(ctx context.Context, from, file string) error {
	ctx, cancel := context.WithTimeout(ctx, goDownloadTimeout)
	defer cancel()
	web, err := m.Env.httpClient()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", redacted(from), resp.Status)
	}
	part, err := os.Create(file + ".part")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = io.Copy(part, resp.Body)
	if err := errors.Join(err, part.Close()); err != nil {
		return fmt.Errorf("GET %s: %w", redacted(from), err)
	}
	return os.Rename(part.Name(), file)
}

// redacted is a URL without its password, for messages.
func redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "the module proxy"
	}
	return u.Redacted()
}

// unzipGo unpacks a toolchain's module zip. Module zips keep no execute bits and cannot
// hold go.mod files of nested modules, so those are restored here as the go command does.
func unzipGo(file, version, dir string) error {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	prefix := "golang.org/toolchain@" + version + "/"
	for _, f := range archive.File {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok || strings.HasSuffix(name, "/") {
			continue
		}
		if path.Base(name) == "_go.mod" {
			name = path.Join(path.Dir(name), "go.mod")
		}
		if err := unzipFile(root, f, name); err != nil {
			return err
		}
	}
	return openDirs(dir)
}

// unzipFile writes one file of a toolchain.
func unzipFile(root *os.Root, f *zip.File, name string) error {
	mode := os.FileMode(0o644)
	if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") {
		mode = 0o755
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// openDirs gives all folders their ordinary mode, whatever umask this process has.
func openDirs(dir string) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.Chmod(name, 0o755)
	})
}
