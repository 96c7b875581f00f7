package farm_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

func TestClaimOrder(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		var ids []string
		for range 2 {
			ids = append(ids, w.submit(submission("", arm32v7, arm64, amd64)).ID)
			w.clock.Advance(time.Second)
		}
		worker := farm.Worker{
			Name: "w1", Native: []module.Platform{amd64}, Cross: []module.Platform{arm64}, QEMU: []module.Platform{arm64, arm32v7},
		}
		var got []string
		for {
			a, err := w.Claim(t.Context(), worker)
			if err != nil {
				t.Fatal(err)
			}
			if a == nil {
				break
			}
			build := "first"
			if a.Build.ID == ids[1] {
				build = "second"
			}
			got = append(got, fmt.Sprint(build, " ", a.Job.Platform, " ", a.Strategies))
			if a.Token != "checkout-secret" || a.Build.Commit != commitA || a.Build.Manifest == nil || a.Job.Attempt != 1 ||
				a.Job.Worker != "w1" || a.Lease.TTL != farm.LeaseTTL || a.Lease.JobID != a.Job.ID {
				t.Errorf("assignment: %+v", a)
			}
		}
		want := []string{
			"first linux/amd64 [native]", "second linux/amd64 [native]",
			"first linux/arm64 [cross qemu]", "second linux/arm64 [cross qemu]",
			"first linux/arm32v7 [qemu]", "second linux/arm32v7 [qemu]",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
	})
}

// TestNativeFirst: an emulating worker leaves a job to a native one that has nothing to do, but not for long.
func TestNativeFirst(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		native := farm.Worker{Name: "native", Native: []module.Platform{arm64}}
		emulating := farm.Worker{Name: "emulating", Cross: []module.Platform{arm64}, QEMU: []module.Platform{arm64}}
		claims := func(worker farm.Worker, want bool) {
			t.Helper()
			a, err := w.Claim(t.Context(), worker)
			if err != nil || (a != nil) != want {
				t.Errorf("%s: %+v, %v; want a job: %t", worker.Name, a, err, want)
			}
		}
		claims(native, false) // it is idle now
		w.submit(submission("", arm64))
		w.submit(submission("", arm64))
		claims(emulating, false)
		claims(native, true)
		claims(emulating, true) // the native worker is busy
		w.submit(submission("", arm64))
		claims(native, true)
		claims(native, false)
		w.submit(submission("", arm64))
		claims(emulating, false)
		w.clock.Advance(6 * time.Second)
		claims(emulating, true) // the native worker did not come
		claims(native, false)
		w.source.set(func(s *source) { s.files["modfarm.yaml"] = "strategy:\n  linux/arm64: qemu\n" })
		w.submit(submission("", arm64))
		claims(emulating, true) // the native worker may not
	})
}

func TestClaimNothing(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("", arm64))
		for name, worker := range map[string]farm.Worker{
			"other platform": {Name: "w1", Native: []module.Platform{amd64}},
			"no platform":    {Name: "w1"},
		} {
			if a, err := w.Claim(t.Context(), worker); a != nil || err != nil {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
		}
		if _, err := w.Claim(t.Context(), farm.Worker{}); !errors.Is(err, module.ErrInvalid) {
			t.Errorf("no name: %v", err)
		}
	})
}

func TestPinnedStrategy(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) { s.files["modfarm.yaml"] = "strategy:\n  linux/arm64: qemu\n" })
		b := w.submit(submission("", arm64))
		if a, err := w.Claim(t.Context(), farm.Worker{Name: "w1", Native: []module.Platform{arm64}, Cross: []module.Platform{arm64}}); a != nil || err != nil {
			t.Fatalf("a worker without QEMU got %+v, %v", a, err)
		}
		w.wantState(w.job(b.ID, arm64), farm.Queued, "by qemu, as modfarm.yaml asks", "cross, native")
		a, err := w.Claim(t.Context(), farm.Worker{Name: "w2", Cross: []module.Platform{arm64}, QEMU: []module.Platform{arm64}})
		if err != nil || a == nil || fmt.Sprint(a.Strategies) != "[qemu]" {
			t.Fatalf("%+v, %v", a, err)
		}
	})
}

func TestFallbackIsRemembered(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		both := farm.Worker{Name: "w1", Cross: []module.Platform{arm64, arm32v7}, QEMU: []module.Platform{arm64, arm32v7}}
		claim := func(want string) *farm.Assignment {
			t.Helper()
			a, err := w.Claim(t.Context(), both)
			if err != nil || a == nil || fmt.Sprint(a.Strategies) != want {
				t.Fatalf("Claim: %+v, %v; want strategies %s", a, err, want)
			}
			return a
		}
		b := w.submit(submission("", arm64))
		a := claim("[cross qemu]")
		j := w.finish(a, farm.Outcome{Kind: farm.OutcomeFallback, Strategy: module.StrategyCross, Reason: "no cross compiler for cgo"})
		w.wantState(j, farm.Queued, "cross does not work for this module", "no cross compiler")
		if j.Attempt != 0 || j.FallbackFrom != module.StrategyCross {
			t.Errorf("attempt %d, fallback from %q", j.Attempt, j.FallbackFrom)
		}
		if a, err := w.Claim(t.Context(), farm.Worker{Name: "w2", Cross: []module.Platform{arm64}}); a != nil || err != nil {
			t.Errorf("claimed for cross again: %+v, %v", a, err)
		}
		claim("[qemu]")
		w.submit(submission("", arm64))
		claim("[qemu]")
		w.submit(submission("", arm32v7)) // remembered for the platform only
		c := claim("[cross qemu]")
		for _, s := range []module.Strategy{module.StrategyCross, module.StrategyQEMU} { // a worker that falls back by itself
			if _, err := w.Extend(t.Context(), c.Lease.Ref(), farm.Progress{Step: "build", Strategy: s}); err != nil {
				t.Fatal(err)
			}
		}
		if j := w.job(c.Build.ID, arm32v7); j.Strategy != module.StrategyQEMU || j.FallbackFrom != module.StrategyCross || j.Step != "build" {
			t.Errorf("job: %+v", j)
		}
		w.submit(submission("", arm32v7))
		claim("[qemu]")
		if b.ID == "" {
			t.Error("no id")
		}
	})
}

func TestPinnedCrossThatFails(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.source.set(func(s *source) { s.files["modfarm.yaml"] = "strategy:\n  linux/arm64: cross\n" })
		w.submit(submission("", arm64))
		a, err := w.Claim(t.Context(), farm.Worker{Name: "w1", Cross: []module.Platform{arm64}, QEMU: []module.Platform{arm64}})
		if err != nil || a == nil {
			t.Fatal(a, err)
		}
		j := w.finish(a, farm.Outcome{Kind: farm.OutcomeFallback, Strategy: module.StrategyCross, Reason: "no cross compiler"})
		w.wantState(j, farm.Failed, "no cross compiler", "modfarm.yaml allows only cross")
	})
}

func TestClaimAtOnce(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		const builds = 15
		for range builds {
			w.submit(submission("", amd64, arm64, arm32v7, arm32v6))
		}
		var mu sync.Mutex
		got := map[string]int{}
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				worker := farm.Worker{Name: fmt.Sprint("w", i), Native: []module.Platform{amd64, arm64}, QEMU: []module.Platform{arm32v7, arm32v6}}
				for {
					a, err := w.Claim(t.Context(), worker)
					if err != nil {
						t.Error(err)
						return
					}
					if a == nil {
						return
					}
					mu.Lock()
					got[a.Job.ID]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(got) != 4*builds {
			t.Errorf("%d jobs claimed, want %d", len(got), 4*builds)
		}
		for id, n := range got {
			if n != 1 {
				t.Errorf("job %s claimed %d times", id, n)
			}
		}
	})
}

// TestClaimAmidUpdates: jobs can be claimed while others of their build are being written, and a job that is claimed
// and cancelled at the same time ends up in one of the two orders.
func TestClaimAmidUpdates(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		for range 5 {
			w.submit(submission("", amd64, arm64, arm32v7, arm32v6))
			first := w.claim("w0", amd64)
			stop := make(chan struct{})
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := w.Extend(t.Context(), first.Lease.Ref(), farm.Progress{Step: "build"}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for _, p := range []module.Platform{arm64, arm32v7} {
				w.claim("w1", p)
			}
			var a *farm.Assignment
			all.Go(func() {
				var err error
				if a, err = w.Claim(t.Context(), farm.Worker{Name: "w2", Native: []module.Platform{arm32v6}}); err != nil {
					t.Error(err)
				}
			})
			if err := w.Cancel(t.Context(), w.job(first.Build.ID, arm32v6).ID); err != nil {
				t.Error(err)
			}
			close(stop)
			all.Wait()
			j := w.job(first.Build.ID, arm32v6)
			if claimed := a != nil; claimed != (j.State == farm.Running && j.CancelRequested) || !claimed != (j.State == farm.Cancelled) {
				t.Errorf("claimed: %t, state %s, cancel requested: %t", claimed, j.State, j.CancelRequested)
			}
		}
	})
}

func TestTokenIsSealedAndWiped(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		stored := func() string {
			rec, err := w.store.Record(t.Context(), b.ID)
			if err != nil {
				t.Fatal(err)
			}
			return string(rec.Token)
		}
		if got := stored(); got != "sealed:checkout-secret" {
			t.Errorf("stored token: %q", got)
		}
		a := w.claim("w1", amd64)
		w.stage(a, "d1")
		w.finish(a, farm.Outcome{Kind: farm.OutcomeDone})
		if got := stored(); got != "" {
			t.Errorf("token after the end: %q", got)
		}
	})
}

func TestLeaseFencing(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		old := w.claim("w1", amd64)
		w.sweep(16 * time.Second) // the farm itself has run for one lease now
		w.wantState(w.job(b.ID, amd64), farm.Queued, "worker w1 stopped answering", "attempt 1 of 3")

		// Nobody else claimed: the lease may be taken up again by its own token.
		if d, err := w.Extend(t.Context(), old.Lease.Ref(), farm.Progress{}); err != nil || d.TTL != farm.LeaseTTL || d.Cancel {
			t.Fatalf("Extend after expiry: %+v, %v", d, err)
		}
		w.wantState(w.job(b.ID, amd64), farm.Running)
		if n := w.job(b.ID, amd64).Attempt; n != 1 {
			t.Errorf("attempt %d after renewal", n)
		}

		w.sweep(16 * time.Second)
		young := w.claim("w2", amd64)
		if young.Lease.Token == old.Lease.Token || len(young.Lease.Token) != 32 {
			t.Errorf("lease token %q", young.Lease.Token)
		}
		ref := old.Lease.Ref()
		rel := module.Release{SHA256: "old", Size: 1}
		for name, call := range map[string]func() error{
			"Extend":    func() error { _, err := w.Extend(t.Context(), ref, farm.Progress{}); return err },
			"Held":      func() error { _, _, err := w.Held(t.Context(), ref); return err },
			"AppendLog": func() error { _, err := w.AppendLog(t.Context(), ref, farm.LogChunk{Data: []byte("x")}); return err },
			"Stage":     func() error { return w.Stage(t.Context(), ref, rel) },
			"Finish":    func() error { _, err := w.Finish(t.Context(), ref, farm.Outcome{Kind: farm.OutcomeDone}); return err },
			"made up": func() error {
				_, err := w.Extend(t.Context(), farm.LeaseRef{JobID: ref.JobID, Token: ""}, farm.Progress{})
				return err
			},
		} {
			if err := call(); !errors.Is(err, farm.ErrLeaseLost) || !errors.Is(err, module.ErrConflict) {
				t.Errorf("%s with the old lease: %v", name, err)
			}
		}
		if _, err := w.Extend(t.Context(), farm.LeaseRef{JobID: "no-such-job"}, farm.Progress{}); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("unknown job: %v", err)
		}
		w.stage(young, "new")
		w.wantState(w.finish(young, farm.Outcome{Kind: farm.OutcomeDone}), farm.Published)
		if rel := w.job(b.ID, amd64).Release; rel.SHA256 != "new" {
			t.Errorf("published %+v", rel)
		}
	})
}

// TestNoLeaseIsStoredInPlain: who reads the database can extend nothing.
func TestNoLeaseIsStoredInPlain(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		rec, err := w.store.Record(t.Context(), b.ID)
		if err != nil {
			t.Fatal(err)
		}
		if h := rec.Jobs[0].LeaseHash; h == "" || strings.Contains(h, a.Lease.Token) {
			t.Errorf("lease hash %q for token %q", h, a.Lease.Token)
		}
	})
}
