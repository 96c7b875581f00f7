package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/go-units"

	"github.com/modfarm/modfarm/workers"
)

// The pace of a disk watch. Free space is looked at every glance, which costs next to nothing. Files are only
// counted when enough of it went away to matter, or when a count is old, and never so often that counting takes
// more than a fraction of the time.
const (
	glance     = 250 * time.Millisecond
	oldCount   = time.Second
	restOften  = 2  // a count that is due rests this many times as long as the last one took
	restSeldom = 30 // and one that is merely old
	leastStep  = 16 << 20
)

// perFile is what each file counts at least, in bytes: file systems have only so many of them.
const perFile = 4 << 10

// maxDepth is how deep folders may be nested; each level holds a file open while it is counted.
const maxDepth = 512

// usage is what a build takes on disk, in bytes and files. The cache counts by what it grew since the first count.
type usage struct{ workspace, layer, cache, files, wholeCache int64 }

// sum is what is held against the limit: bytes, or what so many files are worth.
func (u usage) sum() int64 { return max(u.workspace+u.layer+u.cache, u.files*perFile) }

// room is what file systems have left.
type room struct{ free, total, files, allFiles int64 }

// low reports a file system that is nearly full. What is left then belongs to the machine.
func (r room) low() bool {
	const fraction, most = 50, 2 << 30
	return r.free < min(r.total/fraction, most) || r.allFiles > 0 && r.files < r.allFiles/fraction
}

// meter measures what one build takes.
type meter interface {
	// rooms looks at the file systems that the build writes to.
	rooms(ctx context.Context) ([]room, error)
	// count counts the build's files.
	count(ctx context.Context) (usage, error)
	// close frees what the meter needs.
	close(ctx context.Context) error
}

// errTooDeep marks a tree that cannot be counted to its end.
var errTooDeep = errors.New("folders are nested too deep")

// diskWatch ends a build that takes more disk than it may, or the last of the machine's.
type diskWatch struct {
	meter meter
	limit int64
	stop  func(error)
	first func() // called after the first count

	free  int64 // of all file systems, at the last count
	last  usage
	when  time.Time     // of the last count
	took  time.Duration // by the last count
	known bool          // something was counted
}

// run watches until ctx ends, or the build was stopped. It returns when the meter cannot measure any more.
func (w *diskWatch) run(ctx context.Context) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		if err := w.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *diskWatch) look(ctx context.Context) error {
	rooms, err := w.meter.rooms(ctx)
	if err != nil {
		return err
	}
	var free int64
	for _, r := range rooms {
		if r.low() {
			w.stop(r.nearlyFull())
			return nil
		}
		free += r.free
	}
	if !w.due(w.free - free) {
		return nil
	}
	started := time.Now()
	u, err := w.meter.count(ctx)
	switch {
	case errors.Is(err, errTooDeep):
		w.stop(&workers.Exceeded{What: fmt.Sprintf(
			"nested folders more than %d deep and was stopped: the disk that it takes cannot be counted then; nest fewer", maxDepth)})
		return nil
	case err != nil:
		return err
	}
	w.free, w.last, w.when, w.took, w.known = free, u, time.Now(), time.Since(started), true
	w.first()
	if u.sum() > w.limit {
		w.stop(&workers.Exceeded{What: w.sentence(u)})
	}
	return nil
}

// due reports whether it is time to count again, when so much went away since the last count.
func (w *diskWatch) due(gone int64) bool {
	if !w.known {
		return true
	}
	rest := time.Since(w.when)
	if gone > max((w.limit-w.last.sum())/2, leastStep) {
		return rest >= restOften*w.took
	}
	return rest >= max(oldCount, restSeldom*w.took)
}

func (w *diskWatch) sentence(u usage) string {
	what := fmt.Sprintf("used %s of disk (%s in /workspace, %s in the rest of the container, %s more in the cache) and was stopped",
		bytesOf(u.workspace+u.layer+u.cache), bytesOf(u.workspace), bytesOf(u.layer), bytesOf(u.cache))
	if u.workspace+u.layer+u.cache <= w.limit {
		what = fmt.Sprintf("made %d files and was stopped: each counts %s at least", u.files, bytesOf(perFile))
	}
	return what + fmt.Sprintf("; a build may use %s here: write less, or have the worker's owner raise --disk", bytesOf(w.limit))
}

func bytesOf(n int64) string { return units.BytesSize(float64(n)) }
