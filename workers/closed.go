package workers

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
)

// openUp makes what the build left at build.path readable to this process where the container's root keeps it to
// itself: what comes of a build must not depend on the worker's user.
func (j *job) openUp(ctx context.Context, c checkout) error {
	if !closed(j.tree(), filepath.Join(c.workdir, filepath.FromSlash(c.manifest.Build.Path))) {
		return nil
	}
	return j.pool.Runner.OpenFolder(ctx, j.tree())
}

// closed reports whether this process lacks the right to read a file, or anything in a folder, of the tree. It looks
// at nothing outside the tree, and opens nothing: a pipe would wait for ever.
func closed(tree, name string) bool {
	target, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrPermission) {
		return true
	}
	if err != nil || !inside(tree, target) {
		return false // said in words by who opens it
	}
	err = filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type().IsRegular():
			return mayRead(path)
		}
		return nil
	})
	return errors.Is(err, fs.ErrPermission)
}

func inside(tree, name string) bool {
	tree, err := filepath.EvalSymlinks(tree)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(tree, name)
	return err == nil && filepath.IsLocal(rel)
}
