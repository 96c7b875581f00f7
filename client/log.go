package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// The bounds of resuming: how long a stream may be silent (the farm sends a sign of life every 15 s),
// the waits between attempts, and how long the farm may be away.
const (
	streamSilence = time.Minute
	firstWait     = 200 * time.Millisecond
	longestWait   = 5 * time.Second
	patience      = 3 * time.Minute
)

// FollowLog calls emit with a job's log from a byte offset on, as it grows, until the job has ended
// and all of its log was emitted. It goes on where it was after the connection broke, and gives up
// when the farm is away for three minutes. An error of emit ends it and is returned.
func (c *Client) FollowLog(ctx context.Context, jobID string, offset int64, emit func(LogChunk) error) error {
	f := follower{c: c, job: jobID, offset: offset, emit: emit}
	return resume(ctx, func(ctx context.Context) (bool, error) {
		f.heard = false
		err := f.once(ctx)
		return f.heard, err
	})
}

// resume calls attempt until it succeeds or fails for good. attempt says whether it got any further,
// which starts patience anew.
func resume(ctx context.Context, attempt func(context.Context) (progress bool, err error)) error {
	wait, since := firstWait, time.Now()
	for {
		progress, err := attempt(ctx)
		if progress {
			wait, since = firstWait, time.Now()
		}
		if err == nil || !temporary(err) || ctx.Err() != nil || time.Since(since)+wait > patience {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
}

type follower struct {
	c      *Client
	job    string
	offset int64
	heard  bool // the farm said something since the connection was made, if only that it lives
	emit   func(LogChunk) error
}

// emitError keeps an error of the caller's own function apart from the farm's.
type emitError struct{ error }

func (e emitError) Unwrap() error { return e.error }

func (f *follower) once(parent context.Context) error {
	if _, err := f.c.auth.token(parent); err != nil {
		return f.c.fromRPC(parent, err)
	}
	ctx, silent, done := watch(parent, streamSilence)
	defer done()
	stream, err := f.c.farm.FollowLog(ctx, &modfarmv1.FollowLogRequest{JobId: f.job, Offset: f.offset})
	if err != nil {
		return f.c.fromRPC(parent, err)
	}
	defer stream.Close()
	for stream.Receive() {
		f.heard = true
		silent.Reset(streamSilence)
		if err := f.take(stream.Msg().GetChunk()); err != nil {
			return emitError{err}
		}
	}
	return f.c.fromRPC(parent, stream.Err())
}

// take emits what is new of a chunk.
func (f *follower) take(p *modfarmv1.LogChunk) error {
	data, at := p.GetData(), p.GetOffset()
	if len(data) == 0 || at+int64(len(data)) <= f.offset {
		return nil
	}
	if at < f.offset {
		data, at = data[f.offset-at:], f.offset
	}
	f.offset = at + int64(len(data))
	return f.emit(LogChunk{Offset: at, Step: p.GetStep(), Data: data})
}

var errSilent = errors.New("the connection was silent for too long")

// watch cancels its context when the timer is not reset in time.
func watch(parent context.Context, d time.Duration) (context.Context, *time.Timer, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	t := time.AfterFunc(d, func() { cancel(fmt.Errorf("%w: %s", errSilent, d)) })
	return ctx, t, func() { t.Stop(); cancel(nil) }
}
