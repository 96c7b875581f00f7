package registry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/google/uuid"
)

// folderUpload is an upload into a Folder.
type folderUpload struct {
	folder *Folder
	key    string
	file   *os.File // nil once committed or aborted
}

// Create begins an upload in the folder for those under way.
func (f *Folder) Create(_ context.Context) (Upload, error) {
	key := uuid.NewString()
	file, err := f.root.OpenFile(path.Join(folderTmp, key), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, f.trouble("write in", err)
	}
	return &folderUpload{folder: f, key: key, file: file}, nil
}

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

// Commit flushes the bytes, renames them to their place and flushes the name.
func (u *folderUpload) Commit(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if u.file == nil {
		return "", u.folder.trouble("finish a blob in", os.ErrClosed)
	}
	name, err := objectPath(u.key)
	if err != nil {
		return "", err
	}
	if err := u.file.Sync(); err != nil {
		return "", u.folder.trouble("write in", err)
	}
	if err := u.folder.place(path.Join(folderTmp, u.key), name); err != nil {
		return "", u.folder.trouble("finish a blob in", err)
	}
	file := u.file
	u.file = nil
	if err := file.Close(); err != nil {
		return "", u.folder.trouble("finish a blob in", errors.Join(err, u.folder.root.Remove(name)))
	}
	return u.key, nil
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
	err := u.file.Close()
	u.file = nil
	if rmErr := u.folder.root.Remove(path.Join(folderTmp, u.key)); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	if err != nil {
		return u.folder.trouble("clean up in", err)
	}
	return nil
}
