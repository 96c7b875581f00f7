package farm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

var failedOutcome = farm.Outcome{Kind: farm.OutcomeFailed, Reason: "make: *** [all] Error 1; mend the Makefile"}

// retry asks for a retry that is in order.
func (w *world) retry(b farm.Build, p module.Platform) farm.Build {
	w.t.Helper()
	got, err := w.Retry(w.t.Context(), farm.Retry{BuildID: b.ID, Platform: p, Token: "checkout-secret", RequestedBy: "tester"})
	if err != nil {
		w.t.Fatalf("Retry: %v", err)
	}
	return got
}

// TestRetryOnePlatform: the failed platform is built again from the same commit, with its log going on; the others are
// left alone.
func TestRetryOnePlatform(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64, arm64))
		w.finish(w.claim("w1", arm64), failedOutcome)
		a := w.claim("w1", amd64)
		w.stage(a, "amd64")
		w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		for name, ask := range map[string]farm.Retry{
			"published":        {BuildID: b.ID, Platform: amd64, Token: "checkout-secret"},
			"without a token":  {BuildID: b.ID, Platform: arm64},
			"other platform":   {BuildID: b.ID, Platform: arm32v7, Token: "checkout-secret"},
			"no such build":    {BuildID: "none", Token: "checkout-secret"},
			"published as any": {BuildID: w.submit(submission("0.1.0", amd64)).ID},
		} {
			if _, err := w.Retry(t.Context(), ask); err == nil {
				t.Errorf("%s: retried", name)
			}
		}
		w.source.set(func(s *source) { s.refs["v0.1.0"] = commitB }) // the tag moved; a retry does not ask
		w.bell.take()
		again := w.retry(b, arm64)
		w.wantState(w.job(b.ID, arm64), farm.Queued)
		w.wantState(w.job(b.ID, amd64), farm.Published)
		if rung := w.bell.take(); len(rung) != 1 || !again.EndedAt.IsZero() {
			t.Errorf("rung for %v, ended at %s", rung, again.EndedAt)
		}
		if _, err := w.Retry(t.Context(), farm.Retry{BuildID: b.ID, Platform: arm64}); !errors.Is(err, module.ErrConflict) {
			t.Errorf("retried while it is queued: %v", err)
		}
		a = w.claim("w2", arm64)
		if a.Build.Commit != commitA || a.Job.Attempt != 1 || a.Token != "checkout-secret" {
			t.Errorf("assignment: %+v", a)
		}
		w.stage(a, "arm64")
		w.wantState(w.finish(a, farm.Outcome{Kind: farm.OutcomeDone}), farm.Published)
		text := w.text(a.Job.ID)
		if before, after, ok := strings.Cut(text, "linux/arm64 was failed; built again on request of tester\n"); !ok ||
			!strings.Contains(before, "mend the Makefile") || after != "" {
			t.Errorf("log:\n%s", text)
		}
	})
}

// TestRetryTogether: of a build that publishes all together everything that went wrong is built again.
func TestRetryTogether(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) { s.files["modfarm.yaml"] = "publish: all\n" })
		b := w.submit(submission("0.1.0", amd64, arm64))
		a := w.claim("w1", amd64)
		w.stage(a, "amd64")
		w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		w.finish(w.claim("w1", arm64), failedOutcome)
		w.wantState(w.job(b.ID, amd64), farm.Failed, "built, but not published")
		w.retry(b, arm64)
		for _, p := range []module.Platform{amd64, arm64} {
			a := w.claim("w1", p)
			w.stage(a, p.Arch)
			w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		}
		for _, j := range w.build(b.ID).Jobs {
			w.wantState(j, farm.Published)
		}
		if n := len(w.pub.calls); n != 1 {
			t.Errorf("published in %d calls", n)
		}
	})
}

// TestRetryUnresolved: what failed before its commit was read is resolved again.
func TestRetryUnresolved(t *testing.T) {
	onEach(t, func(w *world) {
		s := submission("0.1.0", amd64)
		s.Ref = "not-pushed"
		b := w.submit(s)
		w.wantState(w.job(b.ID, amd64), farm.Failed, "push the tag first")
		w.source.set(func(s *source) { s.refs["not-pushed"] = commitA })
		w.retry(b, module.Platform{})
		w.wantState(w.job(b.ID, amd64), farm.Resolving)
		if err := w.Farm.Resolve(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Queued)
	})
}

// TestRetryRefused: what would be refused again is not queued to find out, and what may go otherwise now is.
func TestRetryRefused(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		wantConflict := func(b farm.Build, says string) {
			t.Helper()
			for _, p := range []module.Platform{{}, amd64} {
				_, err := w.Retry(t.Context(), farm.Retry{BuildID: b.ID, Platform: p, Token: "checkout-secret"})
				if !errors.Is(err, module.ErrConflict) || !strings.Contains(err.Error(), says) {
					t.Errorf("retried: %v, want %q", err, says)
				}
			}
			w.wantState(w.job(b.ID, amd64), farm.Refused)
		}
		w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		w.stage(a, "amd64")
		w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		moved := submission("0.1.0", amd64)
		moved.Ref = "v0.2.0"
		wantConflict(w.submit(moved), "is published from commit aaaaaaaaaaaa")

		w.source.set(func(s *source) { s.files = map[string]string{} })
		wantConflict(w.submit(submission("0.2.0", amd64)), "correct it and start a new build")

		w.source.set(func(s *source) {
			s.files, s.err = map[string]string{"meta.json": manifest("acme:widget")}, module.ErrInvalid
		})
		b := w.submit(submission("0.2.0", amd64)) // its repository was against a rule
		w.wantState(w.job(b.ID, amd64), farm.Refused)
		w.source.set(func(s *source) { s.err = nil })
		w.retry(b, amd64)
		if err := w.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Queued)

		w.finish(w.claim("w1", amd64), farm.Outcome{Kind: farm.OutcomeRefused, Reason: "entrypoint is for linux/arm64"})
		w.retry(b, amd64)
		w.wantState(w.job(b.ID, amd64), farm.Queued)
	})
}

// TestCancelOnePlatform: the others go on.
func TestCancelOnePlatform(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("", amd64, arm64))
		a := w.claim("w1", arm64)
		if err := w.Cancel(t.Context(), a.Job.ID); err != nil {
			t.Fatal(err)
		}
		if d, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{}); err != nil || !d.Cancel {
			t.Errorf("directive %+v, %v", d, err)
		}
		w.wantState(w.finish(a, failedOutcome), farm.Cancelled, "cancelled on request")
		w.wantState(w.job(b.ID, amd64), farm.Queued)
		if err := w.Cancel(t.Context(), a.Job.ID); !errors.Is(err, module.ErrConflict) {
			t.Errorf("cancelled twice: %v", err)
		}
		w.retry(b, arm64)
		w.wantState(w.job(b.ID, arm64), farm.Queued)
		if a := w.claim("w1", arm64); a.Job.CancelRequested {
			t.Error("a retried job is still to be cancelled")
		}
	})
}

// TestResume: a worker that was restarted gets its job again by the lease it kept, and nobody else does.
func TestResume(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("", arm64))
		worker := farm.Worker{Name: "w1", QEMU: []module.Platform{arm64}}
		a, err := w.Claim(t.Context(), worker)
		if err != nil || a == nil {
			t.Fatalf("%+v, %v", a, err)
		}
		report := &module.BuildReport{Image: "builder@sha256:1"}
		if _, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{Step: "Build", Strategy: module.StrategyQEMU, Report: report}); err != nil {
			t.Fatal(err)
		}
		w.restart()
		w.clock.Advance(farm.LeaseTTL / 2)
		got, err := w.Resume(t.Context(), worker, a.Lease.Ref())
		if err != nil {
			t.Fatal(err)
		}
		if got.Lease != a.Lease || got.Job.Attempt != 1 || got.Job.Report.Image != report.Image || got.Token != "checkout-secret" ||
			got.Build.Manifest == nil || len(got.Strategies) != 1 {
			t.Errorf("resumed %+v", got)
		}
		if _, err := w.Resume(t.Context(), worker, farm.LeaseRef{JobID: a.Job.ID, Token: "guessed"}); !errors.Is(err, farm.ErrLeaseLost) {
			t.Errorf("with another token: %v", err)
		}
		w.sweep(2 * farm.LeaseTTL) // away for too long, and somebody else has it
		other, err := w.Claim(t.Context(), farm.Worker{Name: "w2", Native: []module.Platform{arm64}})
		if err != nil || other == nil {
			t.Fatalf("%+v, %v", other, err)
		}
		if _, err := w.Resume(t.Context(), worker, a.Lease.Ref()); !errors.Is(err, farm.ErrLeaseLost) {
			t.Errorf("after another claimed it: %v", err)
		}
	})
}

// TestReasonsCommandNoTerminal: sentences quote strangers; nothing in them is obeyed by a terminal.
func TestReasonsCommandNoTerminal(t *testing.T) {
	onEach(t, func(w *world) {
		b := w.submit(submission("", amd64))
		w.finish(w.claim("w1", amd64), farm.Outcome{
			Kind:   farm.OutcomeFailed,
			Reason: "\x1b[31mred\x1b[0m \x1b]0;title\a\x1b]8;;http://x\x1b\\link\r\nsecond\x00\tline\u009b2J \x1b(B\x9f ü\x1b",
		})
		if got, want := w.job(b.ID, amd64).Reason, "red link; second line \uFFFD ü"; got != want {
			w.t.Errorf("reason %q, want %q", got, want)
		}
	})
}
