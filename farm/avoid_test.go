package farm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// tryClaim is a claim that may give nothing.
func (w *world) tryClaim(name string, p module.Platform) *farm.Assignment {
	w.t.Helper()
	a, err := w.Claim(w.t.Context(), farm.Worker{Name: name, Native: []module.Platform{p}})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// TestOthersGoFirstAfterAFault: the worker whose machine failed a job gets it again only after ten seconds, or at once
// when nobody else builds its platform. Other jobs are not kept from it, and the job not from others.
func TestOthersGoFirstAfterAFault(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		gets := func(name string, want farm.Build) {
			t.Helper()
			if a := w.tryClaim(name, amd64); a == nil && want.ID != "" || a != nil && a.Build.ID != want.ID {
				t.Errorf("%s gets %+v, want the build %q", name, a, want.ID)
			}
		}
		fault := farm.Outcome{Kind: farm.OutcomeFault, Reason: "disk full"}
		alone := w.submit(submission("", amd64))
		w.finish(w.claim("w1", amd64), fault)
		gets("w1", alone) // nobody else is there

		gets("w2", farm.Build{})
		failed := w.submit(submission("", amd64))
		w.finish(w.claim("w1", amd64), fault)
		w.clock.Advance(4 * time.Second)
		w.wantState(w.job(failed.ID, amd64), farm.Queued, "worker w1 could not go on: disk full",
			"another worker takes it (w2), as w1 failed it 4s ago, or until ", "then w1 may, too")
		if explained, err := w.Explain(t.Context(), failed); err != nil || explained.Jobs[0].Wait.Cause != farm.WaitOther {
			t.Errorf("%+v, %v", explained.Jobs, err)
		}
		gets("w1", farm.Build{})
		other := w.submit(submission("", amd64))
		gets("w1", other)
		gets("w2", failed)

		again := w.submit(submission("", amd64))
		w.finish(w.claim("w1", amd64), fault)
		w.clock.Advance(9 * time.Second)
		gets("w1", farm.Build{})
		w.clock.Advance(2 * time.Second)
		gets("w1", again)
	})
}

// TestDrainedByTheFarm: a worker that an operator drained gets nothing, also after the farm was restarted; it is said
// and listed; undone, it gets jobs again. What it has goes on.
func TestDrainedByTheFarm(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		first := w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		if err := w.Drain(t.Context(), "w1"); err != nil {
			t.Fatal(err)
		}
		if err := w.Drain(t.Context(), "w1"); err != nil { // again
			t.Fatal(err)
		}
		second := w.submit(submission("", amd64))
		w.wantState(w.job(second.ID, amd64), farm.Queued, "w1 takes no more jobs")
		if got := w.tryClaim("w1", amd64); got != nil {
			t.Errorf("a drained worker gets %s", got.Build.ID)
		}
		if _, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{}); err != nil {
			t.Errorf("it cannot go on with %s: %v", first.ID, err)
		}
		list, err := w.Workers(t.Context())
		if err != nil || len(list) != 1 || list[0].Name != "w1" || !list[0].Draining || list[0].DrainedAt.IsZero() || list[0].Running != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		w.restart()
		if got := w.tryClaim("w1", amd64); got != nil {
			t.Errorf("after a restart of the farm it gets %s", got.Build.ID)
		}
		if err := w.Undrain(t.Context(), "w1"); err != nil {
			t.Fatal(err)
		}
		b := w.tryClaim("w1", amd64)
		if b == nil || b.Build.ID != second.ID {
			t.Fatalf("after the drain was undone it gets %+v", b)
		}
		list, err = w.Workers(t.Context())
		if err != nil || len(list) != 1 || list[0].Draining || list[0].Running != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		for _, set := range []func(context.Context, string) error{w.Drain, w.Undrain} {
			if err := set(t.Context(), "w9"); !errors.Is(err, module.ErrNotFound) || !strings.Contains(err.Error(), "modfarm worker list") {
				t.Errorf("a worker that nobody knows: %v", err)
			}
		}
		for _, held := range []*farm.Assignment{a, b} {
			w.finish(held, farm.Outcome{Kind: farm.OutcomeFailed, Reason: "make ended with status 2"})
		}
		w.restart()
		if err := w.Drain(t.Context(), "w1"); err != nil {
			t.Errorf("a worker that has built, and says nothing: %v", err)
		}
		if err := w.Drain(t.Context(), " "); err == nil || !strings.Contains(err.Error(), "modfarm worker list") {
			t.Errorf("a worker without a name: %v", err)
		}
	})
}
