package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/moby/api/types/mount"

	"github.com/modfarm/modfarm/workers/docker/guard"
)

// pipesDir holds a folder for each guard, with the pipes that its build writes to. Only this user may look into it;
// what is inside is open to the roots of containers, which have no rights beyond their own here.
func (r *Runner) pipesDir() string { return filepath.Join(r.opts.WorkDir, "pipes") }

func (r *Runner) makePipes() (dir string, err error) {
	err = os.MkdirAll(r.pipesDir(), 0o700)
	if err == nil {
		dir, err = os.MkdirTemp(r.pipesDir(), "")
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("make a folder for the output of a build: %w", err)
	}
	return dir, nil
}

// pipesMount shows the pipes to the guard and to the build. Neither can make, replace or remove one; writing into a
// pipe changes no file.
func pipesMount(dir string) mount.Mount {
	return mount.Mount{Type: mount.TypeBind, Source: dir, Target: guard.PipesPath, ReadOnly: true}
}

// makePipe makes a pipe and says where containers see it.
func makePipe(dir, name string) (inside string, err error) {
	path := filepath.Join(dir, name)
	err = makeFIFO(path)
	if err == nil {
		err = os.Chmod(path, 0o666) // whatever the umask says
	}
	if err != nil {
		return "", fmt.Errorf("make a pipe for the output of a build: %w", err)
	}
	return guard.PipesPath + "/" + name, nil
}

// emptyPipes removes the pipes of a build that ended.
func emptyPipes(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
	}
	if err != nil {
		return fmt.Errorf("remove the pipes of a build: %w", err)
	}
	return nil
}

// removePipes removes the folders of guards that are gone.
func (r *Runner) removePipes(except map[string]bool) error {
	entries, err := os.ReadDir(r.pipesDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if dir := filepath.Join(r.pipesDir(), e.Name()); !except[dir] {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err != nil {
		return fmt.Errorf("empty the work folder: %w", err)
	}
	return nil
}
