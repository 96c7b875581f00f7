package farm_test

import (
	"errors"
	"testing"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

const failFastReason = "linux/amd64 failed and fail-fast is on"

// TestFailFast: one platform that fails cancels those that wait and stops those that run; what is published stays.
func TestFailFast(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		s := submission("0.1.0", amd64, arm64, arm32v7, arm32v6)
		s.FailFast = true
		b := w.submit(s)
		if !b.FailFast {
			t.Fatal("the build does not say that it fails fast")
		}
		first := w.claim("w1", arm32v6)
		w.stage(first, "arm32v6")
		w.finish(first, done)
		bad, running := w.claim("w1", amd64), w.claim("w2", arm64)
		w.finish(bad, failedOutcome)
		w.wantState(w.job(b.ID, amd64), farm.Failed)
		w.wantState(w.job(b.ID, arm32v6), farm.Published)
		w.wantState(w.job(b.ID, arm32v7), farm.Cancelled, failFastReason)
		if d, err := w.Extend(t.Context(), running.Lease.Ref(), farm.Progress{}); err != nil || !d.Cancel {
			t.Errorf("directive %+v, %v", d, err)
		}
		if len(w.bell.cancelled) != 1 || w.bell.cancelled[0] != running.Job.ID {
			t.Errorf("workers were told of %v, want %s", w.bell.cancelled, running.Job.ID)
		}
		w.stage(running, "arm64")
		w.wantState(w.finish(running, done), farm.Cancelled, failFastReason)
		if b := w.build(b.ID); b.EndedAt.IsZero() {
			t.Error("the build has not ended")
		}

		// One by itself would be ended by the others at once.
		w.retry(b, arm64)
		w.wantState(w.job(b.ID, amd64), farm.Queued)
		w.wantState(w.job(b.ID, arm64), farm.Queued)
		w.wantState(w.job(b.ID, arm32v7), farm.Queued)
		w.wantState(w.job(b.ID, arm32v6), farm.Published)
	})
}

// TestFailFastOfLostWorkers: a worker that is lost does not report the end of a job that was to stop.
func TestFailFastOfLostWorkers(t *testing.T) {
	onEach(t, func(w *world) {
		s := submission("", amd64, arm64)
		s.FailFast = true
		b := w.submit(s)
		bad := w.claim("w1", amd64)
		w.claim("w2", arm64)
		w.finish(bad, farm.Outcome{Kind: farm.OutcomeRefused, Reason: "against a rule"})
		w.sweep(2 * farm.LeaseTTL)
		w.wantState(w.job(b.ID, arm64), farm.Cancelled, "linux/amd64 was refused and fail-fast is on")
	})
}

// TestCancelledIsNoFailure: what somebody cancels by hand stops nothing else, and without the rule failures do not.
func TestCancelledIsNoFailure(t *testing.T) {
	onEach(t, func(w *world) {
		s := submission("", amd64, arm64)
		s.FailFast = true
		b := w.submit(s)
		if err := w.Cancel(w.t.Context(), w.job(b.ID, amd64).ID); err != nil {
			w.t.Fatal(err)
		}
		w.wantState(w.job(b.ID, arm64), farm.Queued)
		if err := w.Cancel(w.t.Context(), b.ID); err != nil {
			w.t.Fatal(err)
		}

		b = w.submit(submission("", amd64, arm64))
		w.finish(w.claim("w1", amd64), failedOutcome)
		w.wantState(w.job(b.ID, arm64), farm.Queued)
	})
}

// TestPublishIsAsked: the request's word about publishing goes before modfarm.yaml's, both ways.
func TestPublishIsAsked(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		s := submission("0.1.0", amd64, arm64)
		s.Publish = module.PublishAll
		b := w.submit(s)
		if b.Publish != module.PublishAll {
			t.Errorf("publish is %q", b.Publish)
		}
		a := w.claim("w1", amd64)
		w.stage(a, "amd64")
		w.wantState(w.finish(a, done), farm.Waiting, "the build was started with publish: all")
		w.finish(w.claim("w1", arm64), failedOutcome)
		w.wantState(w.job(b.ID, amd64), farm.Failed, "the build was started with publish: all")
		if len(w.pub.calls) != 0 {
			t.Error("published in part")
		}

		w.publishAll()
		s = submission("0.2.0", amd64, arm64)
		s.Publish = module.PublishEach
		w.submit(s)
		a = w.claim("w1", amd64)
		w.stage(a, "amd64")
		w.wantState(w.finish(a, done), farm.Published)

		s.Publish = "some"
		if _, err := w.Submit(t.Context(), s); !errors.Is(err, module.ErrInvalid) {
			t.Errorf("publish %q: %v", s.Publish, err)
		}
	})
}
