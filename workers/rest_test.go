package workers_test

import (
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// TestPoolRestsAfterAFault has the machine fail one job while another one waits: that must not be next at once.
func TestPoolRestsAfterAFault(t *testing.T) {
	t.Parallel()
	const rest = 2 * time.Second
	w := newWorld(t)
	w.pool.Slots, w.pool.Rest = 1, rest
	w.runner.failStarts(1)
	first := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	second := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	w.start()
	if got := w.outcome(first); got.Kind != client.OutcomeFault {
		t.Fatalf("outcome %+v", got)
	}
	failed := time.Now()
	if got := w.outcome(second); got.Kind != client.OutcomeDone {
		t.Fatalf("outcome %+v", got)
	}
	if took := time.Since(failed); took < rest/2 { // half of it, as the first outcome is heard of a little late
		t.Errorf("the next job ended %s after the fault", took)
	}
}

// TestPoolRemovesAContainerLater has the engine away when a build has ended: its container goes when it is back. That
// nothing is left is checked at the end of the test.
func TestPoolRemovesAContainerLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runner.failRemovals(2)
	w.start()
	if got := w.outcome(w.submit(nil, module.BuildSpec{Build: makeOut}, nil)); got.Kind != client.OutcomeDone {
		t.Fatalf("outcome %+v", got)
	}
}
