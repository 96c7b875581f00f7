package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// errLocked means that another process has the lock.
var errLocked = errors.New("another process has the lock")

// lockPoll is how often a busy lock is tried again. File locks cannot be waited for
// together with a context.
const lockPoll = 200 * time.Millisecond

// lock takes the named lock, which all processes with this CacheDir share, and returns
// the function that gives it back. The kernel gives back the locks of a process that dies.
// waiting is what a user is told to be waiting for.
func (m *Maker) lock(ctx context.Context, name, waiting string) (func(), error) {
	dir, err := m.dir("locks")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("image lock: %w", err)
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for told := false; ; {
		err := tryLock(file)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, errLocked) {
			_ = file.Close()
			return nil, fmt.Errorf("image lock %s: %w", file.Name(), err)
		}
		if !told {
			m.say("waiting: %s", waiting)
			told = true
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}
