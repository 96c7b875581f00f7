package farm

import (
	"context"
	"sync"
	"time"
)

const (
	followEvery = time.Second // the backstop of lost notifications
	tailKeeps   = 1 << 20     // bytes of the end of a log
)

// tail is the end of one log, shared by all who follow it in this process: however many they are, the database is asked
// once, and a reader that keeps up not at all. Every byte of it is in the database already, so that no reader sees one
// that the farm could forget.
type tail struct {
	job     string
	wake    chan struct{} // holds one token when the log may have grown
	leave   context.CancelFunc
	done    chan struct{} // closed when nobody looks after it any more
	readers int           // under the farm's lock

	mu     sync.Mutex
	known  bool // end was read once
	end    int64
	ended  bool          // the job did: the log is complete
	err    error         // it cannot be followed here
	chunks []LogChunk    // the last ones, each beginning where the one before ended, up to end
	kept   int           // bytes of them
	news   chan struct{} // closed and replaced when something of this changed
}

// tailView is what a reader sees of a tail.
type tailView struct {
	chunks []LogChunk // from the reader's offset on, about 256 KiB of them
	behind bool       // there is more, and only the database has it
	ended  bool
	err    error
	news   <-chan struct{}
}

// joinTail finds or makes the tail of a log; leave has to be called.
func (f *Farm) joinTail(ctx context.Context, jobID string) (t *tail, leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t = f.tails[jobID]
	if t == nil {
		looking, stop := context.WithCancel(context.WithoutCancel(ctx))
		t = &tail{job: jobID, wake: make(chan struct{}, 1), leave: stop, done: make(chan struct{}), news: make(chan struct{})}
		f.tails[jobID] = t
		go f.lookAfter(looking, t)
	} else {
		wake(t.wake) // the reader wants to see the log as it is now
	}
	t.readers++
	return t, func() { f.leaveTail(t) }
}

func (f *Farm) leaveTail(t *tail) {
	f.mu.Lock()
	t.readers--
	last := t.readers == 0
	if last && f.tails[t.job] == t {
		delete(f.tails, t.job)
	}
	f.mu.Unlock()
	if last {
		t.leave()
		<-t.done
	}
}

// lookAfter keeps a tail up with its log until ctx ends, the log is complete, or it cannot be read.
func (f *Farm) lookAfter(ctx context.Context, t *tail) {
	defer close(t.done)
	if f.Bell != nil {
		go f.listenLog(ctx, t)
	}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for f.look(ctx, t) {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-ticker.C:
		}
	}
}

// look brings a tail up to date, and says whether there is more to come.
func (f *Farm) look(ctx context.Context, t *tail) bool {
	// The state is read with the size: a log whose job had ended then is complete.
	size, state, err := f.Store.LogEnd(ctx, t.job)
	if from, missing := t.missing(size); err == nil && missing {
		var chunks []LogChunk
		if chunks, err = f.ReadLog(ctx, t.job, from, tailKeeps); err == nil {
			t.add(chunks...)
		}
	}
	if err != nil || state.Terminal() { // a job that ended may be tried again
		f.forgetTail(t)
	}
	return t.update(size, err == nil && state.Terminal(), err)
}

// forgetTail lets the next reader begin anew.
func (f *Farm) forgetTail(t *tail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tails[t.job] == t {
		delete(f.tails, t.job)
	}
}

// missing says whether it is worth reading what is new, and from where: what is too much is left to each reader.
func (t *tail) missing(size int64) (from int64, worth bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end, t.known && size > t.end && size-t.end <= tailKeeps
}

// add appends what is new of some chunks.
func (t *tail) add(chunks ...LogChunk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range chunks {
		if !t.known || c.end() <= t.end || c.Offset > t.end {
			continue
		}
		c = c.from(t.end)
		t.chunks = append(t.chunks, c)
		t.end, t.kept = c.end(), t.kept+len(c.Data)
		t.tell()
	}
	first := 0
	for ; t.kept > tailKeeps && first < len(t.chunks)-1; first++ {
		t.kept -= len(t.chunks[first].Data)
	}
	if first > 0 { // a copy: readers may still have the old ones
		t.chunks = append([]LogChunk(nil), t.chunks[first:]...)
	}
}

// update notes how long the log is, and whether it stays so. It returns whether it may grow.
func (t *tail) update(size int64, ended bool, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if size > t.end || !t.known && err == nil { // more than is worth keeping, or what was there before
		t.chunks, t.kept, t.end = nil, 0, size
		t.tell()
	}
	t.known = t.known || err == nil
	if t.ended, t.err = ended, err; ended || err != nil {
		t.tell()
	}
	return !ended && err == nil
}

// tell wakes the readers. The caller holds mu.
func (t *tail) tell() {
	close(t.news)
	t.news = make(chan struct{})
}

// view is the log from offset on, as far as it is known.
func (t *tail) view(offset int64) tailView {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := tailView{news: t.news, err: t.err, ended: t.ended}
	if !t.known || offset >= t.end {
		return v
	}
	if v.behind = len(t.chunks) == 0 || offset < t.chunks[0].Offset; v.behind {
		return v
	}
	size := 0
	for _, c := range t.chunks {
		if c.end() > offset && size < readAtOnce {
			v.chunks = append(v.chunks, c.from(offset))
			size += len(c.Data)
		}
	}
	return v
}

// tellFollowers gives those who follow a log in this process what was added to it, which the database has.
func (f *Farm) tellFollowers(jobID string, c LogChunk) {
	f.mu.Lock()
	t := f.tails[jobID]
	f.mu.Unlock()
	if t == nil {
		return
	}
	t.add(c)
	wake(t.wake) // for what came between
}

// wakeTail has the tail of a log looked at.
func (f *Farm) wakeTail(jobID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.tails[jobID]; t != nil {
		wake(t.wake)
	}
}

// listenLog passes on what the bell tells of a log until ctx ends.
func (f *Farm) listenLog(ctx context.Context, t *tail) {
	grown, err := f.Bell.WatchLog(ctx, t.job)
	if err != nil {
		if ctx.Err() == nil {
			f.log().WarnContext(ctx, "log not watched, looking every second", "job", t.job, "error", err)
		}
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-grown:
			wake(t.wake)
		}
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
