package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

// folderUpload is an upload into a Folder.
type folderUpload struct {
	folder *Folder
	key    string
	size   int64
	file   *os.File // nil once committed, aborted or left
}

// Create begins an upload in the folder for those under way.
func (f *Folder) Create(_ context.Context) (Upload, error) {
	key := uuid.NewString()
	file, err := f.root.OpenFile(path.Join(folderTmp, key), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, f.trouble("write in", err)
	}
	return &folderUpload{folder: f, key: key, file: file}, nil
}

// Resume opens an upload to append to it.
func (f *Folder) Resume(_ context.Context, key string) (Upload, error) {
	if _, err := objectPath(key); err != nil {
		return nil, err
	}
	file, err := f.root.OpenFile(path.Join(folderTmp, key), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: upload %q", module.ErrNotFound, key)
	}
	if err != nil {
		return nil, f.trouble("write in", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(f.trouble("write in", err), file.Close())
	}
	return &folderUpload{folder: f, key: key, size: size, file: file}, nil
}

// Key is the file's name.
func (u *folderUpload) Key() string { return u.key }

// Size is what Resume found.
func (u *folderUpload) Size() int64 { return u.size }

// Write appends to the upload.
func (u *folderUpload) Write(p []byte) (int, error) {
	if u.file == nil {
		return 0, u.folder.trouble("write in", os.ErrClosed)
	}
	n, err := u.file.Write(p)
	if err != nil {
		err = u.folder.trouble("write in", err)
	}
	return n, err
}

// ReadAt reads what was written, most often from memory.
func (u *folderUpload) ReadAt(p []byte, at int64) (int, error) {
	if u.file == nil {
		return 0, u.folder.trouble("read", os.ErrClosed)
	}
	n, err := u.file.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.folder.trouble("read", err)
	}
	return n, err
}

// Flush waits until the disk has what was written.
func (u *folderUpload) Flush() error {
	if u.file == nil {
		return u.folder.trouble("write in", os.ErrClosed)
	}
	if err := u.file.Sync(); err != nil {
		return u.folder.trouble("write in", err)
	}
	return nil
}

// Commit flushes the bytes, renames them to their place and flushes the name.
func (u *folderUpload) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := u.Flush(); err != nil {
		return err
	}
	name, err := objectPath(u.key)
	if err != nil {
		return err
	}
	// A collector takes objects without a row that are old: this one is new from now on.
	now := time.Now()
	if err := u.folder.root.Chtimes(path.Join(folderTmp, u.key), now, now); err != nil {
		return u.unfinished(err)
	}
	if err := u.folder.place(path.Join(folderTmp, u.key), name); err != nil {
		return u.unfinished(err)
	}
	if err := u.Leave(); err != nil {
		return errors.Join(err, u.folder.root.Remove(name))
	}
	return nil
}

// unfinished is why the bytes did not come to their place. Another process of the farm removes those of
// an upload that it takes for abandoned, also in the moment in which they are finished.
func (u *folderUpload) unfinished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the bytes of upload %q were removed meanwhile; send them again", module.ErrNotFound, u.key)
	}
	return u.folder.trouble("finish a blob in", err)
}

// place renames and makes the new name durable; when it fails neither name is
// left but the old one.
func (f *Folder) place(from, to string) error {
	dir := path.Dir(to)
	err := f.root.Mkdir(dir, 0o750)
	switch {
	case err == nil:
		if err := f.sync(path.Dir(dir)); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if err := f.root.Rename(from, to); err != nil {
		return err
	}
	if err := f.sync(dir); err != nil {
		return errors.Join(err, f.root.Rename(to, from))
	}
	return nil
}

func (f *Folder) sync(dir string) error {
	file, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// Abort closes and removes what was written.
func (u *folderUpload) Abort() error {
	if u.file == nil {
		return nil
	}
	err := u.Leave()
	if rmErr := u.folder.root.Remove(path.Join(folderTmp, u.key)); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, u.folder.trouble("clean up in", rmErr))
	}
	return err
}

// Leave closes the file.
func (u *folderUpload) Leave() error {
	if u.file == nil {
		return nil
	}
	err := u.file.Close()
	u.file = nil
	if err != nil {
		return u.folder.trouble("finish a blob in", err)
	}
	return nil
}
