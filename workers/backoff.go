package workers

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// backoff is a growing wait between attempts. The zero value waits 200 ms at first and 5 s at most.
type backoff struct{ first, most time.Duration }

// sleep waits before attempt try+1, somewhat at random so that many workers do not come back at once.
func (b backoff) sleep(ctx context.Context, try int) error {
	first, most := b.first, b.most
	if first <= 0 {
		first = 200 * time.Millisecond
	}
	if most <= 0 {
		most = 5 * time.Second
	}
	d := min(first<<min(try, 10), most)
	d = d/2 + rand.N(d/2+1) //nolint:gosec // spreading, not secrecy
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// temporary says whether the farm did not really answer, so that the same call may succeed soon.
func temporary(err error) bool {
	var answer *client.Error
	if errors.Is(err, module.ErrUnavailable) {
		return true
	}
	// An answer that blames nobody is an inner error of the farm.
	return errors.As(err, &answer) && answer.Answered && answer.Reference != ""
}
