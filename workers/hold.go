package workers

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
)

// holdPatience is how long leases are held for a pool that does not take its jobs over.
const holdPatience = 5 * time.Minute

// Hold extends the leases of what an earlier process of this worker was at, beside the preparations for Run: proving
// platforms may take longer than a lease lasts. Of the pool only Name, Farm, WorkDir and Log have to be set. It ends
// with ctx, or when nothing is left to hold.
func (p *Pool) Hold(ctx context.Context) {
	left, err := p.leftJobs()
	if err != nil {
		return // Run says it
	}
	ctx, cancel := context.WithTimeout(ctx, holdPatience)
	defer cancel()
	var holding sync.WaitGroup
	for _, s := range left {
		holding.Go(func() { hold(ctx, p.Farm, s.Lease, p.log().With("job", s.Lease.JobID)) })
	}
	holding.Wait()
}

// hold extends a lease until it is lost or the job is over.
func hold(ctx context.Context, farm Leases, lease client.LeaseRef, log *slog.Logger) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		call, cancel := context.WithTimeout(ctx, beatEvery)
		_, err := farm.Extend(call, lease, client.Progress{})
		cancel()
		switch {
		case errors.Is(err, client.ErrLeaseLost):
			return
		case err != nil:
			log.DebugContext(ctx, "the lease of before the restart could not be extended; trying on", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
