package workers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// The pace of a log: what follows a silence is sent once it was gathered for a moment, in which a line becomes whole.
// From then on there is a piece every flushAfter, or sooner one of flushAt bytes and more when a build is busy. A piece
// is never larger than maxPiece.
const (
	gatherFor  = 2 * time.Millisecond
	flushAfter = 100 * time.Millisecond
	flushAt    = 32 << 10
	maxPiece   = 256 << 10
)

// shipper sends a spool to the farm, for as long as that takes.
type shipper struct {
	farm  Leases
	lease client.LeaseRef
	spool *spool
	base  int64 // the offset in the job's log at which the spool begins
	from  int64 // what the farm has of the spool already
	wait  backoff
	log   *slog.Logger
}

// run returns when the closed spool was sent in full, when the lease is lost, or when ctx ends.
func (s *shipper) run(ctx context.Context) error {
	sent := s.from
	var due time.Time // when the next piece is
	stuck := false    // what is there cannot be sent before more comes: it ends within a character
	for {
		if size, closed := s.spool.written(); sent >= size && closed {
			return nil
		}
		if err := s.pause(ctx, sent, due, stuck); err != nil {
			return err
		}
		due = time.Now().Add(flushAfter)
		next, err := s.send(ctx, sent)
		if err != nil {
			return err
		}
		stuck, sent = next == sent, next
	}
}

// pause waits until there is something to send and the next piece is due, unless there is enough to send it at once.
func (s *shipper) pause(ctx context.Context, sent int64, due time.Time, stuck bool) error {
	for {
		if size, closed := s.spool.written(); closed || size > sent && !stuck {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.spool.grown: // also of what was sent already
			stuck = false
		}
	}
	timer := time.NewTimer(max(gatherFor, time.Until(due)))
	defer timer.Stop()
	for {
		if size, closed := s.spool.written(); closed || size-sent >= flushAt {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return nil
		case <-s.spool.grown:
		}
	}
}

// send delivers one piece and returns the offset in the spool to go on from. It tries until the farm answers.
func (s *shipper) send(ctx context.Context, from int64) (int64, error) {
	data, step, err := s.spool.read(from, maxPiece)
	if err != nil || len(data) == 0 {
		return from, err
	}
	for try := 0; ; try++ {
		next, err := s.farm.AppendLog(ctx, s.lease, client.LogChunk{Offset: s.base + from, Step: step, Data: data})
		var answer *client.Error
		switch {
		case err == nil:
			return max(next-s.base, from+int64(len(data))), nil
		case ctx.Err() != nil:
			return from, context.Cause(ctx)
		case errors.Is(err, client.ErrLeaseLost):
			return from, err
		case errors.As(err, &answer) && answer.LogOffset >= 0 && answer.LogOffset != s.base+from:
			return s.goOn(answer.LogOffset), nil
		case errors.Is(err, module.ErrInvalid): // the farm takes no more of it
			s.log.WarnContext(ctx, "the farm refuses the rest of a log", "error", err)
			return from, err
		}
		if try == 0 {
			s.log.InfoContext(ctx, "the farm does not take the log now; trying on", "error", err)
		}
		if err := s.wait.sleep(ctx, try); err != nil {
			return from, err
		}
	}
}

// goOn is the offset in the spool for the farm's offset of the whole log. A farm that went back before this
// attempt (restored from a copy) gets the attempt's log right there.
func (s *shipper) goOn(offset int64) int64 {
	if offset < s.base {
		s.base = offset
	}
	return offset - s.base
}
