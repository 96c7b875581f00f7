package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// archive opens what the build left at build.path: the archive itself, or a folder that is packed here.
func (j *job) archive(ctx context.Context, c checkout) (*os.File, error) {
	if err := j.openUp(ctx, c); err != nil {
		return nil, err
	}
	root, err := c.open()
	if err != nil {
		return nil, failed("the build removed or replaced the module's folder (%s), so that build.path is not found; let the build leave it in place", plain(err))
	}
	defer root.Close()
	name := path.Clean(c.manifest.Build.Path)
	info, err := root.Stat(name) // follows links, but not out of the checkout
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, failed("the build succeeded but left nothing at build.path %s%s; correct build.path in meta.json, or the build",
			name, others(root.FS()))
	case err != nil:
		return nil, failed("build.path %s cannot be used: %s; it has to be a file or folder inside the module's folder", name, plain(err))
	case info.IsDir():
		j.log.say("packing the folder %s", name)
		return j.pack(ctx, root, name, c)
	case !info.Mode().IsRegular(): // opening a pipe would wait for ever
		return nil, failed("build.path %s is neither a file nor a folder; let the build leave an archive there, or a folder to pack", name)
	}
	file, err := openRegular(root, name)
	if err != nil {
		return nil, failed("build.path %s cannot be read: %s", name, plain(err))
	}
	return file, nil
}

var errNotRegular = errors.New("it is no ordinary file")

// openRegular opens a file that a build may have made. A pipe would be waited for, and reading one would never end.
func openRegular(root *os.Root, name string) (*os.File, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errNotRegular, file.Close())
	}
	return file, nil
}

// pack writes a folder as an archive with the time of the commit: the same files give the same bytes.
func (j *job) pack(ctx context.Context, root *os.Root, name string, c checkout) (_ *os.File, err error) {
	folder, err := root.OpenRoot(name)
	if err != nil {
		return nil, failed("build.path %s cannot be read: %s", name, plain(err))
	}
	defer folder.Close()
	file, err := os.Create(filepath.Join(j.dir, "archive.tar.gz"))
	if err != nil {
		return nil, fmt.Errorf("pack the archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := archive.Pack(ctx, file, folder, archive.PackOptions{ModTime: c.time}); err != nil {
		if fault, ok := errors.AsType[module.Fault](err); ok {
			fault.Value = "" // the mode of a file, which says less than the problem
			return nil, &verdict{client.OutcomeRefused, fmt.Sprintf("the folder %s cannot be packed: %s", name, fault)}
		}
		return nil, err
	}
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

// others names the archives that the build did leave, for the author to recognize.
func others(fsys fs.FS) string {
	const most = 5
	var found []string
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error { // only a hint
		switch {
		case err != nil || d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
			return fs.SkipDir
		case len(found) >= most:
			return fs.SkipAll
		case strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz"):
			found = append(found, name)
		}
		return nil
	})
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return " (there is " + strings.Join(found, ", ") + ")"
}

// plain is a file error without the path, which the sentence names already.
func plain(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
