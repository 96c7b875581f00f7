package binfmt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// mount mounts the kernel's table where it is missing, as in most containers.
func mount() error {
	_, err := os.Stat(filepath.Join(table, "register"))
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at %s: %w", table, err)
	}
	if err := syscall.Mount("binfmt_misc", table, "binfmt_misc", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", table, err)
	}
	return nil
}
