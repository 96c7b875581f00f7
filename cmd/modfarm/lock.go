package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// errLocked means that another process has the lock.
var errLocked = errors.New("another process has the lock")

// lockFolder takes a folder for this process until it ends or closes the lock.
// Two farms on one database file, or two workers on one work folder, would take
// each other's builds for leftovers.
func lockFolder(flag, dir string) (io.Closer, error) {
	path := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--%s %q: %w", flag, dir, err)
	}
	err = tryLock(f)
	if errors.Is(err, errLocked) {
		holder, _ := io.ReadAll(io.LimitReader(f, 20)) // the message does without
		_ = f.Close()
		return nil, fmt.Errorf("--%s %q: the process %s uses this folder: stop it, or choose another folder with --%s",
			flag, dir, strings.TrimSpace(string(holder)), flag)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--%s %q: lock the folder: %w", flag, dir, err), f.Close())
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(fmt.Errorf("--%s %q: %w", flag, dir, err), f.Close())
	}
	return f, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}
