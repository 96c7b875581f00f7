package workers

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// beatEvery is how often a lease is extended, unless it lasts so short that this would be too late.
const beatEvery = 5 * time.Second

// heartbeat extends a lease and tells the farm what the worker does. It ends the job's context when the lease is
// lost or the farm says to stop. A farm that is away ends nothing: a lease that ran out may still be extended for
// as long as nobody else has claimed the job.
type heartbeat struct {
	farm  Leases
	lease client.Lease
	stop  context.CancelCauseFunc
	nudge chan struct{} // holds one token when there is something new to tell or ask
	log   *slog.Logger

	mu       sync.Mutex
	progress client.Progress
}

func newHeartbeat(farm Leases, lease client.Lease, stop context.CancelCauseFunc, log *slog.Logger) *heartbeat {
	return &heartbeat{farm: farm, lease: lease, stop: stop, nudge: make(chan struct{}, 1), log: log}
}

// tell notes what the worker does now; the farm hears it at once.
func (h *heartbeat) tell(step string, strategy module.Strategy) {
	h.mu.Lock()
	if step != "" {
		h.progress.Step = step
	}
	if strategy != module.StrategyAuto {
		h.progress.Strategy = strategy
	}
	h.mu.Unlock()
	h.ask()
}

// ask makes the next beat come at once.
func (h *heartbeat) ask() {
	select {
	case h.nudge <- struct{}{}:
	default:
	}
}

// run beats until ctx ends.
func (h *heartbeat) run(ctx context.Context) {
	ticker := time.NewTicker(h.every())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.nudge:
		}
		h.beat(ctx)
	}
}

func (h *heartbeat) every() time.Duration {
	if h.lease.TTL > 0 {
		return min(beatEvery, h.lease.TTL/3)
	}
	return beatEvery
}

// beat extends the lease once. One that gets no answer makes way for the next one: when a network was cut and healed,
// that goes by a new connection, and the old one may stay silent for longer than the lease lasts.
func (h *heartbeat) beat(ctx context.Context) {
	h.mu.Lock()
	progress := h.progress
	h.mu.Unlock()
	call, cancel := context.WithTimeout(ctx, h.every())
	defer cancel()
	answer, err := h.farm.Extend(call, h.lease.LeaseRef, progress)
	switch {
	case err == nil && answer.Cancel:
		h.stop(errCancelled)
	case errors.Is(err, client.ErrLeaseLost):
		h.stop(err)
	case err != nil && ctx.Err() == nil:
		h.log.WarnContext(ctx, "the lease could not be extended; trying on", "error", err)
	}
}
