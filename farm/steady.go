package farm

import (
	"context"
	"errors"
	"time"

	"github.com/modfarm/modfarm/module"
)

// mostBreak is the longest pause between two sweeps that is none: with a longer one the process was stopped, or its
// machine asleep, and what workers said meanwhile may still be on its way. It leaves a lease, extended every third of
// its time, some seconds after the break.
const mostBreak = LeaseTTL / 2

// steady says, once in each sweep, whether leases may be judged: the farm has heard its workers for one full lease,
// without a break. The silence of a worker proves nothing while the farm was deaf itself.
func (f *Farm) steady() bool {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.swept) > mostBreak {
		f.hearing = now
	}
	f.swept = now
	return now.Sub(f.hearing) >= LeaseTTL
}

// unheard begins the time anew that steady asks for when it is the farm's own fault that it could not note a
// worker's sign of life: a disk is full, or the database is away.
func (f *Farm) unheard(ctx context.Context, err error) {
	for _, answer := range []error{module.ErrConflict, module.ErrNotFound, module.ErrInvalid} {
		if err == nil || ctx.Err() != nil || errors.Is(err, answer) {
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hearing = f.now()
}

// steadiness is since when the farm hears its workers, and when it swept last.
type steadiness struct{ hearing, swept time.Time }
