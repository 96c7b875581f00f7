package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// smallDisk is a file system in memory that can be filled.
type smallDisk struct{ dir string }

// mountDisk makes dir one of some mebibytes, until the trial ends.
func (t *trial) mountDisk(dir string, size int) *smallDisk {
	t.must("make a folder", os.MkdirAll(dir, 0o700))
	t.must("mount a small disk", sh(t.ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=0700", size), "tmpfs", dir))
	t.atEnd(func() error { return sh(context.Background(), "umount", "--lazy", dir) })
	return &smallDisk{dir}
}

func (d *smallDisk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves not a byte.
func (d *smallDisk) fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("fill a disk: %w", err), f.Close())
	}
	return f.Close()
}

// free makes room again.
func (d *smallDisk) free() error { return os.Remove(d.filler()) }
