//go:build unix

package main

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// freeDisk is how many bytes users may still write where dir is, or would be made.
func freeDisk(dir string) (int64, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, fmt.Errorf("find the folder: %w", err)
	}
	var s unix.Statfs_t
	for unix.Statfs(dir, &s) != nil {
		if dir == filepath.Dir(dir) {
			return 0, fmt.Errorf("the disk of %s cannot be asked", dir)
		}
		dir = filepath.Dir(dir)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:gosec,unconvert // sizes of disks; the types differ by system
}
