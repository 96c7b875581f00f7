package farm

import (
	"context"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	followEvery = time.Second // the backstop of lost notifications
	readAtOnce  = 256 << 10
)

// AppendLog adds a chunk to the job's log and returns the offset the next chunk must begin at. The same chunk again
// changes nothing; a chunk that begins after the end of the log is module.ErrConflict, and next says where to go on.
func (f *Farm) AppendLog(ctx context.Context, ref LeaseRef, c LogChunk) (next int64, err error) {
	f.setup()
	if c.Offset < 0 || len(c.Data) > MaxChunk {
		return 0, module.Faults{{
			Path: "chunk", Problem: fmt.Sprintf("begins before 0 or is longer than %d bytes", MaxChunk), Advice: "send smaller chunks",
		}}
	}
	grew := false
	_, err = f.updateJob(ctx, ref.JobID, func(_ *Record, j *JobRecord) error {
		grew, next = false, 0
		if err := f.hold(j, ref); err != nil {
			return err
		}
		next = j.Job.LogSize
		if c.Offset > next {
			return fmt.Errorf("%w: the log ends at %d, the chunk begins at %d; send the bytes between first",
				module.ErrConflict, next, c.Offset)
		}
		end := c.Offset + int64(len(c.Data))
		if end <= next {
			return nil
		}
		if end > MaxLog {
			return fmt.Errorf("%w: the log is longer than %d bytes; write less to standard output", module.ErrInvalid, MaxLog)
		}
		fresh := c.Data[next-c.Offset:]
		j.NewLog = append(j.NewLog, LogChunk{Offset: next, Step: oneLine(c.Step), Data: fresh})
		j.Job.LogSize, next, grew = end, end, true
		return nil
	})
	if grew && err == nil {
		f.notifyLog(ctx, ref.JobID)
	}
	return next, err
}

// ReadLog returns the log from offset on, about maxBytes of it (0: 256 KiB) and nothing at its end.
func (f *Farm) ReadLog(ctx context.Context, jobID string, offset int64, maxBytes int) ([]LogChunk, error) {
	if maxBytes <= 0 {
		maxBytes = readAtOnce
	}
	return f.Store.ReadLog(ctx, jobID, max(0, offset), maxBytes)
}

// FollowLog calls emit with the log from offset on, as it is written, and returns when the job ended and all was
// emitted, when emit fails, or when ctx ends. A reader holds no more of the log than one piece of about 256 KiB; one
// that is slow reads later what the others read now.
func (f *Farm) FollowLog(ctx context.Context, jobID string, offset int64, emit func(LogChunk) error) error {
	f.setup()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	grown, leave := f.watchLog(ctx, jobID)
	defer leave()
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		// The state is read with the size, before the log: a log that is exhausted after its job's end is complete.
		size, state, err := f.Store.LogEnd(ctx, jobID)
		if err != nil {
			return describeMissing(err, "job", jobID)
		}
		if size > offset {
			if offset, err = f.emitLog(ctx, jobID, offset, emit); err != nil {
				return err
			}
		}
		if state.Terminal() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		case <-ticker.C:
		}
	}
}

// emitLog emits what there is from offset on, and returns where it ended.
func (f *Farm) emitLog(ctx context.Context, jobID string, offset int64, emit func(LogChunk) error) (int64, error) {
	for {
		chunks, err := f.ReadLog(ctx, jobID, offset, readAtOnce)
		if err != nil || len(chunks) == 0 {
			return offset, err
		}
		for _, c := range chunks {
			if err := emit(c); err != nil {
				return offset, err
			}
			offset = c.Offset + int64(len(c.Data))
		}
	}
}

// watchLog yields when a log grew: from this process at once, and from others by the bell. leave ends it.
func (f *Farm) watchLog(ctx context.Context, jobID string) (grown <-chan struct{}, leave func()) {
	here := make(chan struct{}, 1)
	f.mu.Lock()
	if f.readers[jobID] == nil {
		f.readers[jobID] = map[chan struct{}]bool{}
	}
	f.readers[jobID][here] = true
	f.mu.Unlock()
	if f.Bell != nil {
		go f.listenLog(ctx, jobID, here)
	}
	return here, func() {
		f.mu.Lock()
		delete(f.readers[jobID], here)
		if len(f.readers[jobID]) == 0 {
			delete(f.readers, jobID)
		}
		f.mu.Unlock()
	}
}

// listenLog passes on what the bell tells of a log until ctx ends.
func (f *Farm) listenLog(ctx context.Context, jobID string, here chan<- struct{}) {
	grown, err := f.Bell.WatchLog(ctx, jobID)
	if err != nil {
		if ctx.Err() == nil {
			f.log().WarnContext(ctx, "log not watched, looking every second", "job", jobID, "error", err)
		}
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-grown:
			wake(here)
		}
	}
}

// wakeReaders wakes who follows a log in this process.
func (f *Farm) wakeReaders(jobID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for here := range f.readers[jobID] {
		wake(here)
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
