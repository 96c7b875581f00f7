package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hostMeter counts by itself: it runs as root on the engine's machine.
type hostMeter struct {
	workspace, layer, cache string // folders; cache may be empty
	before                  int64  // size of the cache at first
	counted                 bool
}

// canCountHere reports whether this process reads the folders, whoever owns what is in them.
func canCountHere(dirs ...string) bool {
	if os.Geteuid() != 0 {
		return false
	}
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

func (m *hostMeter) dirs() []string {
	if m.cache == "" {
		return []string{m.workspace, m.layer}
	}
	return []string{m.workspace, m.layer, m.cache}
}

func (m *hostMeter) rooms(context.Context) ([]room, error) {
	var list []room
	seen := map[unix.Fsid]bool{}
	for _, dir := range m.dirs() {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			return nil, fmt.Errorf("look at the disk of %s: %w", dir, err)
		}
		if seen[s.Fsid] {
			continue
		}
		seen[s.Fsid] = true
		block := int64(s.Bsize) //nolint:unconvert // 32 bits on some machines
		list = append(list, room{
			free: int64(s.Bavail) * block, total: int64(s.Blocks) * block, files: int64(s.Ffree), allFiles: int64(s.Files), //nolint:gosec // sizes of disks
		})
	}
	return list, nil
}

func (m *hostMeter) count(ctx context.Context) (usage, error) {
	var u usage
	w := &walk{ctx: ctx, seen: map[[2]uint64]bool{}}
	for i, dir := range m.dirs() {
		before := *w
		if err := w.root(dir); err != nil {
			return u, err
		}
		grown := w.bytes - before.bytes
		switch i {
		case 0:
			u.workspace = grown
		case 1:
			u.layer = grown
		default:
			w.files = before.files // of earlier builds, mostly
			if !m.counted {
				m.before = grown
			}
			u.cache, u.wholeCache = max(0, grown-m.before), grown
		}
	}
	m.counted = true
	u.files = w.files
	return u, nil
}

func (m *hostMeter) close(context.Context) error { return nil }

// walk adds up a tree that somebody may be changing meanwhile. It never follows a link.
type walk struct {
	ctx          context.Context //nolint:containedctx // of one count
	bytes, files int64
	seen         map[[2]uint64]bool // files with several names
}

// maxSeen bounds the memory that files with several names cost; more of them count once a name.
const maxSeen = 1 << 20

func (w *walk) root(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("count the files in %s: %w", dir, err)
	}
	return w.folder(fd, dir, 0)
}

// folder counts an open folder, and closes it.
func (w *walk) folder(fd int, name string, depth int) error {
	dir := os.NewFile(uintptr(fd), name) //nolint:gosec // a file descriptor
	defer dir.Close()
	if depth > maxDepth {
		return errTooDeep
	}
	for {
		if err := w.ctx.Err(); err != nil {
			return context.Cause(w.ctx)
		}
		const batch = 1024
		names, err := dir.Readdirnames(batch)
		for _, n := range names {
			if err := w.entry(fd, n, depth); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, unix.ENOENT): // removed meanwhile
			return nil
		case err != nil:
			return fmt.Errorf("count the files in %s: %w", name, err)
		}
	}
}

func (w *walk) entry(parent int, name string, depth int) error {
	var s unix.Stat_t
	if err := unix.Fstatat(parent, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return gone(name, err)
	}
	if s.Nlink > 1 && s.Mode&unix.S_IFMT != unix.S_IFDIR {
		id := [2]uint64{s.Dev, s.Ino}
		if w.seen[id] {
			return nil
		}
		if len(w.seen) < maxSeen {
			w.seen[id] = true
		}
	}
	const sector = 512
	w.files++
	w.bytes += s.Blocks * sector
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return gone(name, err)
	}
	return w.folder(fd, name, depth+1)
}

// gone passes over what was removed or replaced between two looks.
func gone(name string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return fmt.Errorf("count %s: %w", name, err)
}

// freeBelow is how many bytes the disk of a folder has left; zero when that cannot be told.
func freeBelow(dir string) int64 {
	var s unix.Statfs_t
	for ; unix.Statfs(dir, &s) != nil; dir = filepath.Dir(dir) { // it is made later
		if dir == filepath.Dir(dir) {
			return 0
		}
	}
	return int64(s.Bavail) * int64(s.Bsize) //nolint:gosec,unconvert // the size of a disk; 32 bits on some machines
}

// sizeOf counts a folder that others may be changing.
func sizeOf(ctx context.Context, dir string) (int64, error) {
	w := &walk{ctx: ctx, seen: map[[2]uint64]bool{}}
	err := w.root(dir)
	return w.bytes, err
}
