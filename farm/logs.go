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
// emitted, when emit fails, or when ctx ends.
func (f *Farm) FollowLog(ctx context.Context, jobID string, offset int64, emit func(LogChunk) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	grown := f.watchLog(ctx, jobID)
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		// The state is read before the log: a log that is exhausted after the end of its job is complete.
		j, _, err := f.Job(ctx, jobID)
		if err != nil {
			return err
		}
		if offset, err = f.emitLog(ctx, jobID, offset, emit); err != nil {
			return err
		}
		if j.State.Terminal() {
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

// watchLog is the bell's channel, or one that never yields.
func (f *Farm) watchLog(ctx context.Context, jobID string) <-chan struct{} {
	if f.Bell == nil {
		return nil
	}
	grown, err := f.Bell.WatchLog(ctx, jobID)
	if err != nil {
		f.log().WarnContext(ctx, "log not watched, looking every second", "job", jobID, "error", err)
		return nil
	}
	return grown
}
