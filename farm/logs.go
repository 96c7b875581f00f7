package farm

import (
	"context"
	"fmt"

	"github.com/modfarm/modfarm/module"
)

const readAtOnce = 256 << 10

// end is the offset behind the chunk.
func (c LogChunk) end() int64 { return c.Offset + int64(len(c.Data)) }

// from is the chunk without what is before an offset, which is within it or before.
func (c LogChunk) from(offset int64) LogChunk {
	if skip := offset - c.Offset; skip > 0 {
		c.Offset, c.Data = offset, c.Data[skip:]
	}
	return c
}

// AppendLog adds a chunk to the job's log and returns the offset the next chunk must begin at. The same chunk again
// changes nothing; a chunk that begins after the end of the log is module.ErrConflict, and next says where to go on.
func (f *Farm) AppendLog(ctx context.Context, ref LeaseRef, c LogChunk) (next int64, err error) {
	f.setup()
	if c.Offset < 0 || len(c.Data) > MaxChunk {
		return 0, module.Faults{{
			Path: "chunk", Problem: fmt.Sprintf("begins before 0 or is longer than %d bytes", MaxChunk), Advice: "send smaller chunks",
		}}
	}
	var fresh LogChunk
	_, err = f.updateJob(ctx, ref.JobID, func(_ *Record, j *JobRecord) error {
		fresh, next = LogChunk{}, 0
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
		fresh = LogChunk{Offset: next, Step: oneLine(c.Step), Data: c.Data[next-c.Offset:]}
		j.NewLog = append(j.NewLog, fresh)
		j.Job.LogSize, next = end, end
		return nil
	})
	if err == nil && fresh.Data != nil {
		f.tellFollowers(ref.JobID, fresh)
		f.ringLog(ctx, ref.JobID)
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
// emitted, when emit fails, when ctx ends, or when Run does (module.ErrUnavailable). A reader holds no more of the log
// than one piece of about 256 KiB; one that is slow reads later what the others read now. emit must not change the
// bytes: other readers have them too.
func (f *Farm) FollowLog(ctx context.Context, jobID string, offset int64, emit func(LogChunk) error) error {
	f.setup()
	t, leave := f.joinTail(ctx, jobID)
	defer leave()
	for {
		v := t.view(offset)
		if v.err != nil {
			return describeMissing(v.err, "job", jobID)
		}
		chunks := v.chunks
		if v.behind {
			var err error
			if chunks, err = f.ReadLog(ctx, jobID, offset, readAtOnce); err != nil {
				return err
			}
		}
		for _, c := range chunks {
			if err := emit(c); err != nil {
				return err
			}
			offset = c.end()
		}
		switch {
		case len(chunks) > 0:
			continue
		case v.ended:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.stopping:
			return fmt.Errorf("%w: the farm stops; follow the log again from where it is", module.ErrUnavailable)
		case <-v.news:
		}
	}
}
