package farm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// neighbour is a build of another organization.
func (w *world) neighbour(platforms ...module.Platform) farm.Build {
	w.t.Helper()
	s := submission("", platforms...)
	s.OrgID, s.Module.Namespace = "another-org", "other"
	w.source.set(func(s *source) { s.files["meta.json"] = manifest("other:widget") })
	defer w.source.set(func(s *source) { s.files["meta.json"] = manifest("acme:widget") })
	return w.submit(s)
}

// TestBurstDelaysOthersByOneJob: forty jobs of one organization are queued, one of another comes; it is the next to
// get a worker, whatever it is built with, and on one slot as on several.
func TestBurstDelaysOthersByOneJob(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		worker := farm.Worker{Name: "w1", Native: []module.Platform{amd64}, QEMU: []module.Platform{arm64}}
		next := func() *farm.Assignment {
			t.Helper()
			w.clock.Advance(time.Second)
			a, err := w.Claim(t.Context(), worker)
			if err != nil || a == nil {
				t.Fatalf("Claim: %+v, %v", a, err)
			}
			return a
		}
		for range 20 {
			w.submit(submission("", amd64, arm64))
		}
		done := farm.Outcome{Kind: farm.OutcomeDone}
		first := next()
		b := w.neighbour(arm64)
		explained, err := w.Explain(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if wait := explained.Jobs[0].Wait; wait == nil || wait.Position != 1 || wait.OthersAhead != 0 || wait.Cause != farm.WaitSlot {
			t.Errorf("the neighbour waits: %+v", wait)
		}
		w.finish(first, done) // one slot: nobody has anything running now, but the neighbour waits longer
		if got := next(); got.Build.ID != b.ID {
			t.Errorf("%s of the burst goes before the neighbour", got.Job.Platform)
		} else {
			w.finish(got, done)
		}
		running := []*farm.Assignment{next(), next()} // the burst has several slots
		b = w.neighbour(arm64, amd64)
		w.finish(running[0], done)
		if got := next(); got.Build.ID != b.ID {
			t.Errorf("%s of the burst goes before the neighbour, who has nothing running", got.Job.Platform)
		}
	})
}

// TestPlaceInLine: a queued job says who is before it: its own organization's builds by id, others as a number.
func TestPlaceInLine(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		place := func(b farm.Build) string {
			t.Helper()
			b, err := w.Explain(t.Context(), w.build(b.ID))
			if err != nil {
				t.Fatal(err)
			}
			wait := b.Jobs[0].Wait
			return fmt.Sprintf("%d, own %d, others %d", wait.Position, len(wait.BuildsAhead), wait.OthersAhead)
		}
		var own, others []farm.Build
		for range 3 {
			own = append(own, w.submit(submission("", amd64)))
			w.clock.Advance(time.Second)
			others = append(others, w.neighbour(amd64))
			w.clock.Advance(time.Second)
		}
		w.submit(submission("", arm64)) // another line
		if got := place(own[2]); got != "5, own 2, others 2" {
			t.Errorf("the third: %s", got)
		}
		a := w.claim("w1", amd64) // own[0] runs
		if a.Build.ID != own[0].ID {
			t.Fatalf("claimed %s", a.Build.ID)
		}
		want := []string{"2, own 0, others 1", "4, own 1, others 2", "1, own 0, others 0", "3, own 1, others 1", "5, own 2, others 2"}
		got := []string{place(own[1]), place(own[2]), place(others[0]), place(others[1]), place(others[2])}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("places (-want +got):\n%s", diff)
		}
		b, err := w.Explain(t.Context(), own[2])
		if err != nil || !slices.Equal(b.Jobs[0].Wait.BuildsAhead, []string{own[1].ID}) {
			t.Errorf("ahead of the third: %+v, %v", b.Jobs[0].Wait, err)
		}
		if reason := b.Jobs[0].Reason; !strings.HasPrefix(reason, fmt.Sprintf("number %d in line, waiting until ", b.Jobs[0].Wait.Position)) {
			t.Errorf("reason %q", reason)
		}
		for left := 5; left > 0; left-- { // each time the one that is said to be first comes first
			var first []string
			for _, b := range slices.Concat(own, others) {
				e, err := w.Explain(t.Context(), w.build(b.ID))
				if err != nil {
					t.Fatal(err)
				}
				if wait := e.Jobs[0].Wait; wait != nil && wait.Position == 1 {
					first = append(first, b.ID)
				}
			}
			w.clock.Advance(time.Second)
			if a := w.claim("w1", amd64); !slices.Equal(first, []string{a.Build.ID}) {
				t.Errorf("%d left: first are %v, claimed was %s", left, first, a.Build.ID)
			}
		}
	})
}

// TestKeptForNative: a job is kept for a busy native worker for a minute, and not from one that crosses.
func TestKeptForNative(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		emulating := farm.Worker{Name: "emulating", Native: []module.Platform{amd64}, QEMU: []module.Platform{arm64}}
		claims := func(worker farm.Worker, want bool) {
			t.Helper()
			a, err := w.Claim(t.Context(), worker)
			if err != nil || (a != nil) != want {
				t.Errorf("%s: %+v, %v; want a job: %t", worker.Name, a, err, want)
			}
		}
		w.submit(submission("", arm64))
		busy := w.claim("native", arm64)
		b := w.submit(submission("", arm64))
		claims(emulating, false)
		explained, err := w.Explain(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		wait := explained.Jobs[0].Wait
		if wait.Cause != farm.WaitNative || !wait.HeldUntil.Equal(w.clock.Now().Add(time.Minute)) ||
			!strings.Contains(wait.Until, "a native worker (native) is free, or until 12:01:00 UTC") {
			t.Errorf("waits for %+v", wait)
		}
		for range 11 { // the native worker goes on with its job
			w.clock.Advance(5 * time.Second)
			if _, err := w.Extend(t.Context(), busy.Lease.Ref(), farm.Progress{}); err != nil {
				t.Fatal(err)
			}
			claims(emulating, false)
		}
		w.clock.Advance(5 * time.Second)
		claims(emulating, true)

		w.submit(submission("", arm64))
		claims(farm.Worker{Name: "crossing", Cross: []module.Platform{arm64}}, true)

		w.submit(submission("", arm64))
		if _, err := w.Claim(t.Context(), farm.Worker{Name: "native", Native: []module.Platform{arm64}, Draining: true}); err != nil {
			t.Fatal(err)
		}
		claims(emulating, true) // nobody waits for one that is about to stop
	})
}

// TestDrainingIsSaid: a worker that is about to stop gets nothing, and those who wait are told.
func TestDrainingIsSaid(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("", arm64))
		a, err := w.Claim(t.Context(), farm.Worker{Name: "w1", Native: []module.Platform{arm64}, Draining: true})
		if a != nil || err != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		w.wantState(w.job(b.ID, arm64), farm.Queued, "w1 takes no more jobs and is about to stop", "modfarm worker")
	})
}

// TestMemory: a worker gets what fits; a job that does not is passed over for two minutes, and then the worker gets
// nothing else until it does.
func TestMemory(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		settings := func(text string) {
			w.source.set(func(s *source) { s.files["modfarm.yaml"] = text })
		}
		claim := func(total, free int64) string {
			t.Helper()
			a, err := w.Claim(t.Context(), farm.Worker{
				Name: "w1", Native: []module.Platform{amd64}, Memory: total << 20, MemoryFree: free << 20,
			})
			if err != nil {
				t.Fatal(err)
			}
			if a == nil {
				return ""
			}
			return a.Build.ID
		}
		settings("memory: 8GiB")
		large := w.submit(submission("", amd64))
		if got := claim(4096, 4096); got != "" {
			t.Errorf("a worker with 4 GiB got %s", got)
		}
		w.wantState(w.job(large.ID, amd64), farm.Queued, "a worker has 8 GiB for builds", "the largest live one has 4 GiB")
		settings("")
		w.clock.Advance(time.Second)
		small, default1, default2 := w.submit(submission("", amd64)), w.submit(submission("", amd64)), w.submit(submission("", amd64))
		if got := claim(16384, 2048); got != small.ID && got != default1.ID && got != default2.ID {
			t.Errorf("with 2 of 16 GiB free claimed %s", got)
		}
		w.wantState(w.job(large.ID, amd64), farm.Queued, "8 GiB are free on one of these workers: w1")
		if got := claim(16384, 512); got != "" {
			t.Errorf("with 512 MiB free claimed %s", got)
		}
		w.clock.Advance(2 * time.Minute)
		if got := claim(16384, 2048); got != "" {
			t.Errorf("the memory is not kept for the large job, but %s got it", got)
		}
		if got := claim(16384, 8192); got != large.ID {
			t.Errorf("with 8 GiB free claimed %s, want the large job", got)
		}
		if got := claim(512, 512); got == "" {
			t.Error("a small machine gets no job that does not say what it needs")
		}
		if got := claim(0, 0); got == "" {
			t.Error("a worker that does not know its memory gets nothing")
		}
	})
}
