package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers/docker"
)

// soloFolder begins the names of the work folders of local builds.
const soloFolder = "modfarm-build-"

// soloName is a file in such a folder that names the worker of the build. It is written when the folder is locked, so
// that a folder with a name and without a lock is that of a process which is gone.
const soloName = "worker"

// newSoloFolder makes and locks the work folder of a local build.
func newSoloFolder(name string) (dir string, lock io.Closer, err error) {
	if dir, err = os.MkdirTemp("", soloFolder); err != nil {
		return "", nil, fmt.Errorf("make a work folder: %w", err)
	}
	if lock, err = lockFolder("work", dir); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.WriteFile(filepath.Join(dir, soloName), []byte(name), 0o600); err != nil {
		return "", nil, errors.Join(fmt.Errorf("name the work folder: %w", err), lock.Close(), os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// sweepSolos removes what local builds left that were killed: their containers, which would run on for good, and their
// folders. Only the lock tells that a process is gone, and it is on this machine: the builds of other machines with the
// same engine, and those of other users, whose folders are closed, are left alone.
func sweepSolos(ctx context.Context, engine *client.Client) error {
	names, err := filepath.Glob(filepath.Join(os.TempDir(), soloFolder+"*", soloName))
	if err != nil {
		return fmt.Errorf("look for earlier local builds: %w", err)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, sweepSolo(ctx, engine, filepath.Dir(name)))
	}
	return errors.Join(errs...)
}

func sweepSolo(ctx context.Context, engine *client.Client, dir string) error {
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !isOurs(info) {
		return nil // it may say anything
	}
	name, err := os.ReadFile(filepath.Join(dir, soloName))
	if err != nil || !strings.HasPrefix(string(name), soloPrefix) {
		return nil // gone meanwhile, or somebody else's
	}
	lock, err := lockFolder("work", dir)
	if err != nil {
		return nil // its process lives, or another one sweeps it
	}
	defer lock.Close()
	if err := docker.RemoveWorker(ctx, engine, string(name)); err != nil {
		return err
	}
	_ = os.RemoveAll(dir) // what the root of a container owns stays where this user may not
	return nil
}
