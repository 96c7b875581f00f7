package workers_test

import (
	"context"
	"slices"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// lossy is a farm whose answers to claims get lost: it has claimed, and the pool does not learn it.
type lossy struct {
	*fakeFarm
	lose   int
	leases []string                      // that were asked for, in turn
	given  map[string]*client.Assignment // by lease
	stops  bool                          // a claim said that the pool stops
}

func (f *lossy) Claim(ctx context.Context, w client.Worker) (a *client.Assignment, err error) {
	if w.Draining {
		f.change(func() { f.stops = f.given[w.NextLease] == nil })
		return f.fakeFarm.Claim(ctx, w)
	}
	var again, lost bool
	f.change(func() {
		a, again = f.given[w.NextLease]
		f.leases = append(f.leases, w.NextLease)
	})
	if !again {
		if a, err = f.fakeFarm.Claim(ctx, w); a == nil || err != nil {
			return a, err
		}
		f.change(func() { f.given[w.NextLease] = a })
	}
	f.change(func() {
		if lost = f.lose > 0; lost {
			f.lose--
		}
	})
	if lost {
		return nil, &client.Error{Message: "the connection broke"}
	}
	return a, nil
}

// TestLostAnswersOfClaims: a pool asks for the same lease until it was given a job, so that the job whose answer was lost
// is built, and for another one afterwards.
func TestLostAnswersOfClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	farm := &lossy{fakeFarm: w.farm, lose: 2, given: map[string]*client.Assignment{}}
	w.pool.Farm, w.pool.Slots = farm, 1
	first := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	second := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	w.start()
	for _, id := range []string{first, second} {
		if got := w.outcome(id); got.Kind != client.OutcomeDone {
			t.Errorf("%s ended %+v", id, got)
		}
	}
	w.stop()
	if err := wait(t, "the end of the pool", w.done); err != nil {
		t.Error(err)
	}
	w.done <- nil // for the end of the test
	farm.change(func() {
		if len(farm.leases) < 4 || farm.leases[0] == "" || farm.leases[2] != farm.leases[0] || farm.leases[3] == farm.leases[0] {
			t.Errorf("leases that were asked for: %q; want the first three times, then another", farm.leases)
		}
		if different := slices.Compact(slices.Clone(farm.leases)); len(different) > 3 {
			t.Errorf("%d leases were asked for, by two jobs: %q", len(different), different)
		}
		if !farm.stops {
			t.Error("at its end the pool names a lease of a job that it has")
		}
	})
}
