package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

const (
	// folderTmp holds uploads under way, folderObjects finished ones, spread over
	// sub-folders by the first two digits of their key.
	folderTmp     = "tmp"
	folderObjects = "objects"
	// probePrefix begins the files that prove that the folder can be written.
	probePrefix = "probe-"
)

// Folder is the blob backend that keeps bytes in a folder. Bytes are written
// beside, flushed, and renamed to their place: what can be opened is complete,
// also after a power cut. Several processes may share one folder.
type Folder struct {
	root *os.Root
	dir  string
}

var _ Blobs = (*Folder)(nil)

// NewFolder opens dir as a blob backend, making it when it is missing, proves
// that it can be written. The error names the folder and what to do.
func NewFolder(dir string) (*Folder, error) {
	fail := func(err error) error {
		return fmt.Errorf("blob folder %s cannot be used: %w: make it writable for user id %d, or name another folder with --blobs", dir, err, os.Getuid())
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fail(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fail(err)
	}
	f := &Folder{root: root, dir: dir}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(fail(err), root.Close())
	}
	return f, nil
}

func (f *Folder) prepare() error {
	for _, dir := range []string{folderTmp, folderObjects} {
		if err := f.root.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	probe := path.Join(folderTmp, probePrefix+uuid.NewString())
	file, err := f.root.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), f.root.Remove(probe))
}

// Close gives the folder's handle back. Objects that are open stay open.
func (f *Folder) Close() error { return f.root.Close() }

// objectPath is where a key's bytes are; anything but a key of ours is not found.
func objectPath(key string) (string, error) {
	if !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(key) {
		return "", fmt.Errorf("%w: blob %q", module.ErrNotFound, key)
	}
	return path.Join(folderObjects, key[:2], key), nil
}

// Open returns the bytes of a key; Content is an *os.File.
func (f *Folder) Open(_ context.Context, key string) (Object, error) {
	name, err := objectPath(key)
	if err != nil {
		return Object{}, err
	}
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Object{}, fmt.Errorf("%w: blob %q", module.ErrNotFound, key)
	}
	if err != nil {
		return Object{}, f.trouble("open a blob in", err)
	}
	info, err := file.Stat()
	if err != nil {
		return Object{}, errors.Join(f.trouble("open a blob in", err), file.Close())
	}
	return Object{Content: file, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete removes the bytes of a key. Who has them open reads on.
func (f *Folder) Delete(_ context.Context, key string) error {
	name, err := objectPath(key)
	if err != nil {
		return nil //nolint:nilerr // no key of ours: there is nothing to remove
	}
	for _, name := range []string{path.Join(folderTmp, key), name} {
		if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f.trouble("delete a blob in", err)
		}
	}
	return nil
}

// Keys yields what was last written before a time; files that are none of ours
// are left alone, but for probes of a start that was cut off.
func (f *Folder) Keys(ctx context.Context, before time.Time, yield func(key string) error) error {
	return fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile
		case err != nil:
			return f.trouble("list", err)
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir():
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !info.ModTime().Before(before)) {
			return nil
		}
		if err != nil {
			return f.trouble("list", err)
		}
		key := path.Base(name)
		if _, ours := objectPath(key); ours == nil {
			return yield(key)
		}
		if path.Dir(name) == folderTmp && strings.HasPrefix(key, probePrefix) {
			_ = f.root.Remove(name) // the next round finds it again
		}
		return nil
	})
}

// trouble turns an error of the file system into one for the user. A full disk is
// a matter of the farm, not of the request: it may work later.
func (f *Folder) trouble(doing string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: the disk of the farm's blob folder %s is full (%w): have its operator free some space", module.ErrUnavailable, f.dir, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: the farm may not %s its blob folder %s (%w): have its operator make it writable", module.ErrUnavailable, doing, f.dir, err)
	}
	return fmt.Errorf("%s blob folder %s: %w", doing, f.dir, err)
}
