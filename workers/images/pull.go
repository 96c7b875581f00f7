package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/modfarm/modfarm/module"
)

const (
	// pullAnswer is how long a registry may take for its first word.
	pullAnswer = 20 * time.Second
	// pullTimeout bounds the whole pull of about 30 MB.
	pullTimeout = 10 * time.Minute
)

// unreachableError says that Debian's image cannot be pulled, so that bootstrapping is
// the way.
type unreachableError struct{ cause error }

// Error is the cause's text.
func (e *unreachableError) Error() string { return e.cause.Error() }

// Unwrap is the cause.
func (e *unreachableError) Unwrap() error { return e.cause }

// pull makes an image from Debian's own one. The error is an *unreachableError when that
// one cannot be had, and then also for all later calls.
func (m *Maker) pull(ctx context.Context, r Recipe) (Record, error) {
	base, err := m.pullBase(ctx, r)
	if err != nil {
		return Record{}, err
	}
	c, err := m.startContainer(ctx, base.id, r)
	if err != nil {
		return Record{}, err
	}
	defer c.remove(ctx)
	env := append([]string{"DEBIAN_FRONTEND=noninteractive"}, m.Env.proxyVars()...)
	m.say("installing %d packages for %s", len(r.Packages), r.Platform)
	install := "apt-get -q update && apt-get -q -y install --no-install-recommends " + strings.Join(r.Packages, " ")
	if _, err := c.exec(ctx, env, "sh", "-ec", install); err != nil {
		return Record{}, fmt.Errorf("installing packages: %w", err)
	}
	if r.Go != "" {
		if err := c.putGo(ctx, r); err != nil {
			return Record{}, err
		}
	}
	if _, err := c.exec(ctx, env, "sh", "-c", finishScript, "finish", r.Distro, string(r.Kind)); err != nil {
		return Record{}, fmt.Errorf("finishing the image: %w", err)
	}
	out, err := c.exec(ctx, nil, "dpkg-query", "-W", "-f", packageFormat)
	if err != nil {
		return Record{}, fmt.Errorf("listing the installed packages: %w", err)
	}
	packages, err := parsePackages(out)
	if err != nil {
		return Record{}, err
	}
	if err := c.commit(ctx, r); err != nil {
		return Record{}, err
	}
	return Record{Source: "pull", Base: base.digest, Packages: packages}, nil
}

// baseImage is a pulled image: the engine's digest and the registry's.
type baseImage struct{ id, digest string }

// pullBase pulls Debian's image for the recipe's platform. One at a time: older engines
// keep one platform under a name, so the digest has to be read before the next pull.
func (m *Maker) pullBase(ctx context.Context, r Recipe) (baseImage, error) {
	unlock, err := m.lock(ctx, "pull", "another image is pulled")
	if err != nil {
		return baseImage{}, err
	}
	defer unlock()
	memory := m.memory()
	if failed := memory.recall(); failed != nil {
		return baseImage{}, &unreachableError{failed}
	}
	ref := m.baseRef(r.Distro)
	m.say("pulling %s for %s", ref, r.Platform)
	pulling, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	base, err := m.tryPull(pulling, cancel, ref, r.Platform)
	if err == nil || ctx.Err() != nil {
		return base, err
	}
	memory.remember(err)
	return baseImage{}, &unreachableError{err}
}

// baseRef is the name of Debian's image at the registry.
func (m *Maker) baseRef(distro string) string {
	if m.Mirror == "" {
		return "debian:" + distro + "-slim"
	}
	return strings.TrimSuffix(m.Mirror, "/") + "/library/debian:" + distro + "-slim"
}

// tryPull pulls ref, and gives up by cancel when the registry keeps silent.
func (m *Maker) tryPull(ctx context.Context, cancel context.CancelFunc, ref string, p module.Platform) (baseImage, error) {
	silence := time.AfterFunc(pullAnswer, cancel)
	defer silence.Stop()
	resp, err := m.Docker.ImagePull(ctx, ref, client.ImagePullOptions{Platforms: []ocispec.Platform{ociPlatform(p)}})
	if err != nil {
		return baseImage{}, fmt.Errorf("pulling %s: %w", ref, err)
	}
	defer resp.Close()
	if err := readMessages(&firstRead{Reader: resp, then: func() { silence.Stop() }}); err != nil {
		return baseImage{}, fmt.Errorf("pulling %s: %w", ref, err)
	}
	got, err := m.Docker.ImageInspect(ctx, ref)
	if err != nil {
		return baseImage{}, fmt.Errorf("pulling %s: %w", ref, err)
	}
	if got.Os != p.GOOS() || got.Architecture != p.GOARCH() {
		return baseImage{}, fmt.Errorf("pulling %s: the registry has it for %s/%s, not for %s", ref, got.Os, got.Architecture, p)
	}
	base := baseImage{id: got.ID}
	if len(got.RepoDigests) > 0 {
		base.digest = got.RepoDigests[0]
	}
	return base, nil
}

// firstRead calls then at the first byte read.
type firstRead struct {
	io.Reader
	then func()
}

// Read reads.
func (f *firstRead) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if n > 0 {
		f.then()
	}
	return n, err
}

// ociPlatform is p as engines and registries spell it.
func ociPlatform(p module.Platform) ocispec.Platform {
	return ocispec.Platform{OS: p.GOOS(), Architecture: p.GOARCH(), Variant: variant(p)}
}

// putGo copies the Go toolchain into the container.
func (c *container) putGo(ctx context.Context, r Recipe) error {
	work, err := c.maker.dir("work", r.fileName())
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	dir := filepath.Join(work, "go")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing the work folder: %w", err)
	}
	if err := c.maker.installGo(ctx, r.Platform, dir); err != nil {
		return err
	}
	out, in := io.Pipe()
	defer out.Close()
	go func() { in.CloseWithError(tarFolder(in, dir, "go")) }()
	_, err = c.maker.Docker.CopyToContainer(ctx, c.id, client.CopyToContainerOptions{DestinationPath: "/usr/local", Content: out})
	if err != nil {
		return fmt.Errorf("copying Go into the container: %w", err)
	}
	return nil
}

// tarFolder writes the plain files and folders of dir, owned by root, under the name top.
func tarFolder(w io.Writer, dir, top string) error {
	archive := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join(top, filepath.ToSlash(inside)), Mode: int64(info.Mode().Perm()), ModTime: info.ModTime()}
		if entry.IsDir() {
			header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
			return archive.WriteHeader(header)
		}
		header.Typeflag, header.Size = tar.TypeReg, info.Size()
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(archive, file)
		return errors.Join(err, file.Close())
	})
	return errors.Join(err, archive.Close())
}
