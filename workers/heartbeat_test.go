package workers_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/workers"
)

// silentFarm never answers its first call.
type silentFarm struct {
	workers.Leases
	calls  sync.WaitGroup
	mu     sync.Mutex
	limits []time.Duration // of each call
}

func (f *silentFarm) Extend(ctx context.Context, _ client.LeaseRef, _ client.Progress) (client.Directive, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until, _ := ctx.Deadline()
	f.limits = append(f.limits, time.Until(until))
	switch len(f.limits) {
	case 1:
		<-ctx.Done()
		f.calls.Done()
		return client.Directive{}, context.Cause(ctx)
	case 2:
		f.calls.Done()
	}
	return client.Directive{}, nil
}

// TestBeatThatGetsNoAnswer has a lease extended over a connection that went silent. The next try has to come while
// the lease still lasts.
func TestBeatThatGetsNoAnswer(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	farm := &silentFarm{}
	farm.calls.Add(2)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		workers.Beat(ctx, farm, client.Lease{TTL: ttl})
	}()
	farm.calls.Wait()
	stop()
	<-done
	if limit := farm.limits[0]; limit > ttl/3 {
		t.Errorf("the first call may take %s of a lease of %s", limit, ttl)
	}
}
