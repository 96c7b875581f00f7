package farm_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

var done = farm.Outcome{Kind: farm.OutcomeDone}

func TestPublishEach(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64, arm64))
		a := w.claim("w1", amd64)
		rel := module.Release{ // what a worker says about anything but bytes does not count
			ID: module.ID{Namespace: "evil", Name: "x"}, Platform: arm64, Commit: commitB, BuildID: "mine", Tags: []string{"a:b"},
			SHA256: "d1", TarSHA256: "t1", Size: 7, CRC32C: 9, Entrypoint: "run.sh", Warnings: []string{"careful"}, Strategy: module.StrategyNative,
		}
		if err := w.Stage(t.Context(), a.Lease.Ref(), rel); err != nil {
			t.Fatal(err)
		}
		j := w.finish(a, done)
		w.wantState(j, farm.Published)
		got := j.Release
		if got.ID != b.Module || got.Platform != amd64 || got.Commit != commitA || got.BuildID != b.ID || len(got.Tags) != 0 ||
			got.Version.String() != "0.1.0" || got.SHA256 != "d1" || got.CRC32C != 9 || len(got.Manifest) == 0 || got.PublishedAt.IsZero() {
			t.Errorf("release: %+v", got)
		}
		if j.Strategy != module.StrategyNative || j.EndedAt.IsZero() {
			t.Errorf("job: %+v", j)
		}
		w.wantState(w.finish(a, done), farm.Published) // again: nothing changes
		w.wantState(w.finish(a, farm.Outcome{Kind: farm.OutcomeFailed, Reason: "late"}), farm.Published)
		if len(w.pub.calls) != 1 {
			t.Errorf("published %d times", len(w.pub.calls))
		}
		w.wantState(w.job(b.ID, arm64), farm.Queued)
	})
}

func TestPublishNothing(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) { s.files["modfarm.yaml"] = "publish: all\n" })
		b := w.submit(submission("", amd64, arm64))
		w.wantState(w.finish(w.claim("w1", amd64), done), farm.Built)
		a := w.claim("w1", arm64)
		w.stage(a, "d1")
		w.wantState(w.finish(a, done), farm.Built)
		if len(w.pub.calls) != 0 || w.build(b.ID).EndedAt.IsZero() {
			t.Errorf("calls: %v, ended: %s", w.pub.calls, w.build(b.ID).EndedAt)
		}
	})
}

func TestFinishNeedsAnArchive(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		for name, out := range map[string]farm.Outcome{
			"nothing staged": done, "no reason": {Kind: farm.OutcomeFailed}, "no kind": {}, "no strategy": {Kind: farm.OutcomeFallback, Reason: "r"},
		} {
			if _, err := w.Finish(t.Context(), a.Lease.Ref(), out); !errors.Is(err, module.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := w.Stage(t.Context(), a.Lease.Ref(), module.Release{}); !errors.Is(err, module.ErrInvalid) {
			t.Errorf("empty release staged: %v", err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Running)
		w.wantState(w.finish(a, farm.Outcome{Kind: farm.OutcomeRefused, Reason: "entrypoint is for linux/arm64"}), farm.Refused, "entrypoint")
	})
}

func (w *world) publishAll() {
	w.source.set(func(s *source) { s.files["modfarm.yaml"] = "publish: all\n" })
}

func TestPublishAll(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.publishAll()
		b := w.submit(submission("0.1.0", amd64, arm64, arm32v7))
		var assignments []*farm.Assignment
		for range 3 {
			a := w.claim("w1", amd64, arm64, arm32v7)
			w.stage(a, a.Job.Platform.String())
			assignments = append(assignments, a)
		}
		w.wantState(w.finish(assignments[0], done), farm.Waiting, "waits for the other platforms")
		w.sweep(time.Hour) // waiting needs no lease; the others were lost and come back
		w.wantState(w.finish(assignments[1], done), farm.Waiting)
		if len(w.pub.calls) != 0 {
			t.Fatal("published before the last was ready")
		}
		w.wantState(w.finish(assignments[2], done), farm.Published)
		for _, j := range w.build(b.ID).Jobs {
			w.wantState(j, farm.Published)
		}
		if len(w.pub.calls) != 1 || len(w.pub.calls[0]) != 3 {
			t.Errorf("calls: %v", w.pub.calls)
		}
	})
}

func TestPublishAllAtOnce(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.publishAll()
		b := w.submit(submission("0.1.0", amd64, arm64, arm32v7, arm32v6))
		var all sync.WaitGroup
		for range 4 {
			a := w.claim("w1", amd64, arm64, arm32v7, arm32v6)
			w.stage(a, a.Job.Platform.String())
			all.Go(func() {
				if _, err := w.Finish(t.Context(), a.Lease.Ref(), done); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, j := range w.build(b.ID).Jobs {
			w.wantState(j, farm.Published)
		}
		if len(w.pub.calls) != 1 || len(w.pub.calls[0]) != 4 {
			t.Errorf("calls: %v", w.pub.calls)
		}
	})
}

func TestPublishAllNamesTheCulprit(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.publishAll()
		b := w.submit(submission("0.1.0", amd64, arm64, arm32v7))
		first := w.claim("w1", amd64)
		w.stage(first, "d1")
		w.wantState(w.finish(first, done), farm.Waiting)
		w.finish(w.claim("w1", arm64), farm.Outcome{Kind: farm.OutcomeFailed, Reason: "build.sh ended with 2"})
		w.wantState(w.job(b.ID, amd64), farm.Failed, "because linux/arm64 failed", "publish: all")
		w.wantState(w.job(b.ID, arm32v7), farm.Queued) // its result is worth knowing
		last := w.claim("w1", arm32v7)
		w.stage(last, "d3")
		w.wantState(w.finish(last, done), farm.Failed, "because linux/arm64 failed")
		if len(w.pub.calls) != 0 {
			t.Errorf("published %v", w.pub.calls)
		}
	})
}

func TestPublishAllRefused(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.publishAll()
		b := w.submit(submission("0.1.0", amd64, arm64))
		for _, p := range []module.Platform{amd64, arm64} {
			a := w.claim("w1", p)
			w.stage(a, "built "+p.String())
			if p == arm64 { // meanwhile somebody uploads one of them by hand
				rel := module.Release{ID: b.Module, Version: b.Version, Platform: amd64, SHA256: "by hand"}
				if err := w.pub.Publish(t.Context(), []module.Release{rel}); err != nil {
					t.Fatal(err)
				}
			}
			w.finish(a, done)
		}
		w.wantState(w.job(b.ID, amd64), farm.Refused, "uploaded by hand with other contents", "new version")
		w.wantState(w.job(b.ID, arm64), farm.Failed, "because linux/amd64 was refused")
		if len(w.pub.calls) != 1 {
			t.Errorf("published %v", w.pub.calls)
		}
	})
}

// TestTwoBuildsOfOneCommit: two builds of one commit rarely have equal bytes; the second takes over what the first
// published.
func TestTwoBuildsOfOneCommit(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("0.1.0", amd64))
		wider := w.submit(submission("0.1.0", amd64, arm64))
		first, second := w.claim("w1", amd64), w.claim("w2", amd64)
		w.stage(first, "bytes of the first")
		w.stage(second, "bytes of the second")
		w.wantState(w.finish(first, done), farm.Published)
		w.wantState(w.finish(second, done), farm.Published)
		if rel := w.job(wider.ID, amd64).Release; rel.SHA256 != "bytes of the first" {
			t.Errorf("the second build shows %+v", rel)
		}
	})
}

// TestTwoCommitsOfOneVersion: the second one to be ready is refused, whichever platform it is for.
func TestTwoCommitsOfOneVersion(t *testing.T) {
	onEach(t, func(w *world) {
		w.submit(submission("0.1.0", amd64))
		w.source.set(func(s *source) { s.refs["v0.1.0"] = commitB })
		w.submit(submission("0.1.0", arm64))
		first, second := w.claim("w1", amd64), w.claim("w2", arm64)
		w.stage(first, "d1")
		w.stage(second, "d2")
		w.wantState(w.finish(first, done), farm.Published)
		w.wantState(w.finish(second, done), farm.Refused, "is published from commit aaaaaaaaaaaa")
	})
}

// TestRetryFindsItsRelease: the worker was lost after its archive had been published.
func TestRetryFindsItsRelease(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		w.claim("w1", amd64)
		w.sweep(16 * time.Second)
		rel := module.Release{ID: b.Module, Version: b.Version, Platform: amd64, Commit: commitA, SHA256: "d1"}
		if err := w.pub.Publish(t.Context(), []module.Release{rel}); err != nil {
			t.Fatal(err)
		}
		if a, err := w.Claim(t.Context(), farm.Worker{Name: "w2", Native: []module.Platform{amd64}}); a != nil || err != nil {
			t.Errorf("Claim: %+v, %v", a, err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Published)
	})
}

func TestPublishGoesOnAfterTrouble(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		w.stage(a, "d1")
		w.pub.set(func(p *publisher) { p.err = fmt.Errorf("%w: disk is away", module.ErrUnavailable) })
		if _, err := w.Finish(t.Context(), a.Lease.Ref(), done); !errors.Is(err, module.ErrUnavailable) {
			t.Fatalf("Finish: %v", err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Publishing, "disk is away", "next try")
		if err := w.Cancel(t.Context(), b.ID); !errors.Is(err, module.ErrConflict) {
			t.Errorf("cancelled while publishing: %v", err)
		}
		w.pub.set(func(p *publisher) { p.err = nil })
		w.restart()
		w.sweep(0)
		w.sweep(16 * time.Second)
		w.wantState(w.job(b.ID, amd64), farm.Published)
		w.wantState(w.finish(a, done), farm.Published) // the worker asks again
	})
}

func TestPublishRefusedByTheRegistry(t *testing.T) {
	onEach(t, func(w *world) {
		for version, err := range map[string]error{
			"0.1.0": fmt.Errorf("%w: version exists", module.ErrConflict),
			"0.2.0": fmt.Errorf("%w: module was deleted", module.ErrNotFound),
		} {
			w.submit(submission(version, amd64))
			a := w.claim("w1", amd64)
			w.stage(a, "d1")
			w.pub.set(func(p *publisher) { p.err = err })
			w.wantState(w.finish(a, done), farm.Refused, err.Error())
			w.pub.set(func(p *publisher) { p.err = nil })
		}
	})
}
