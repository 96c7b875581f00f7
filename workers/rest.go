package workers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module/source"
)

// Rests of a machine in trouble.
const (
	// DefaultRest is how long a pool claims nothing after its machine failed a job.
	DefaultRest = 5 * time.Second
	// mostRest bounds the rest, which doubles with each job that the machine fails in a row.
	mostRest = time.Minute
)

// rest keeps a machine in trouble from using up the attempts of a job in moments, such as while its engine is being
// stopped: it claims nothing for a while, and other workers can.
type rest struct {
	first time.Duration

	mu    sync.Mutex
	fails int // in a row
	until time.Time
}

// note takes up how a job ended. A repository that is away says nothing about this machine.
func (r *rest) note(kind client.OutcomeKind, err error) {
	_, repository := errors.AsType[*source.Error](err)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case kind == client.OutcomeFault && !repository:
		r.until = time.Now().Add(min(r.first<<min(r.fails, 10), mostRest))
		r.fails++
	case kind != client.OutcomeReturned:
		r.fails = 0
	}
}

// take waits until the rest is over, or ctx ends.
func (r *rest) take(ctx context.Context) {
	r.mu.Lock()
	left := time.Until(r.until)
	r.mu.Unlock()
	if left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
