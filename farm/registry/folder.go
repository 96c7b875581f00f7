package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
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
	// leftoverAge is how old an upload under way may be when the folder is
	// opened. Another node may be writing younger ones.
	leftoverAge = 24 * time.Hour
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
// that it can be written, and removes uploads that processes left behind more
// than a day ago. The error names the folder and what to do.
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
	probe := path.Join(folderTmp, "probe-"+uuid.NewString())
	file, err := f.root.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Close(), f.root.Remove(probe)); err != nil {
		return err
	}
	return f.removeLeftovers(time.Now().Add(-leftoverAge))
}

func (f *Folder) removeLeftovers(before time.Time) error {
	entries, err := fs.ReadDir(f.root.FS(), folderTmp)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || (err == nil && !info.ModTime().Before(before)) {
			continue // finished meanwhile, or still being written
		}
		if err != nil {
			return err
		}
		if err := f.root.Remove(path.Join(folderTmp, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
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
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.trouble("delete a blob in", err)
	}
	return nil
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
