package farm_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// TestOneJobForALease: claims under one lease get one job, however many there are at once and whatever is queued.
func TestOneJobForALease(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		for range 4 {
			w.submit(submission("", amd64))
		}
		me := farm.Worker{Name: "w1", Native: []module.Platform{amd64}, NextLease: strings.Repeat("a", 32)}
		const claims = 8
		given := make(chan string, claims)
		var all sync.WaitGroup
		for range claims {
			all.Go(func() {
				a, err := w.Claim(t.Context(), me)
				if err != nil || a == nil || a.Lease.Token != me.NextLease || a.Job.Attempt != 1 {
					t.Errorf("claim: %+v, %v", a, err)
					return
				}
				given <- a.Job.ID
			})
		}
		all.Wait()
		close(given)
		job := <-given
		for id := range given {
			if id != job {
				t.Errorf("the jobs %s and %s were given for one lease", job, id)
			}
		}
		if running, err := w.store.Holding(t.Context()); err != nil || running["w1"] != 1 {
			t.Errorf("running: %v, %v; want one", running, err)
		}

		fault := farm.Outcome{Kind: farm.OutcomeFault, Reason: "no disk"}
		if _, err := w.Finish(t.Context(), farm.LeaseRef{JobID: job, Token: me.NextLease}, fault); err != nil {
			t.Fatal(err)
		}
		if a, err := w.Claim(t.Context(), me); a != nil || !errors.Is(err, farm.ErrLeaseLost) {
			t.Errorf("a claim whose job was given back: %+v, %v", a, err)
		}

		me.NextLease = strings.Repeat("b", 32)
		if a, err := w.Claim(t.Context(), me); a == nil || err != nil {
			t.Fatalf("the next lease: %+v, %v", a, err)
		}
		if err := w.Drain(t.Context(), "w1"); err != nil { // by its owner: what it was given stays its own
			t.Fatal(err)
		}
		if a, err := w.Claim(t.Context(), me); a == nil || err != nil {
			t.Errorf("the same again, drained: %+v, %v", a, err)
		}
		me.Draining = true
		if a, err := w.Claim(t.Context(), me); a != nil || err != nil {
			t.Errorf("the same from a worker that stops: %+v, %v", a, err)
		}
		if running, err := w.store.Holding(t.Context()); err != nil || running["w1"] != 0 {
			t.Errorf("running after the end of the worker: %v, %v", running, err)
		}
	})
}
