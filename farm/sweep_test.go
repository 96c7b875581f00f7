package farm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

func TestSweepGivesUpAfterThreeWorkers(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		for i := 1; i <= farm.MaxAttempts; i++ {
			a := w.claim(fmt.Sprint("w", i), amd64)
			if a.Job.Attempt != i {
				t.Fatalf("attempt %d, want %d", a.Job.Attempt, i)
			}
			if _, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{Step: "setup"}); err != nil {
				t.Fatal(err)
			}
			w.bell.take()
			w.sweep(14 * time.Second)
			w.wantState(w.job(b.ID, amd64), farm.Running)
			w.sweep(2 * time.Second)
			if i < farm.MaxAttempts && len(w.bell.take()) != 1 {
				t.Errorf("attempt %d: nobody was rung", i)
			}
		}
		j := w.job(b.ID, amd64)
		w.wantState(j, farm.Failed, "worker w3 stopped answering in step setup", "attempt 3 of 3")
		text := w.text(j.ID)
		for _, line := range []string{"attempt 2 of 3 on worker w2: worker w1 stopped answering in step setup", "linux/amd64 failed: worker w3"} {
			if !strings.Contains(text, line) {
				t.Errorf("log %q does not say %q", text, line)
			}
		}
	})
}

func TestSweepWaitsAfterTheStart(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		w.clock.Advance(time.Hour) // the farm was away: nobody could extend
		w.restart()
		w.sweep(0)
		w.sweep(14 * time.Second)
		w.wantState(w.job(b.ID, amd64), farm.Running)
		if _, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{}); err != nil {
			t.Errorf("the worker came back: %v", err)
		}
		w.sweep(14 * time.Second)
		w.wantState(w.job(b.ID, amd64), farm.Running)
		w.sweep(2 * time.Second)
		w.wantState(w.job(b.ID, amd64), farm.Queued)
	})
}

// TestSweepWaitsAfterABreak stops the process for a minute, as a machine that sleeps does.
func TestSweepWaitsAfterABreak(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		w.sweep(20 * time.Second) // the start is over
		a := w.claim("w1", amd64)
		w.clock.Advance(time.Minute)
		w.sweep(14 * time.Second)
		w.wantState(w.job(b.ID, amd64), farm.Running)
		if _, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{}); err != nil {
			t.Errorf("the worker came back: %v", err)
		}
		w.sweep(20 * time.Second)
		w.wantState(w.job(b.ID, amd64), farm.Queued)
	})
}

// fullDisk is a store that writes nothing while it is full.
type fullDisk struct {
	farm.Store
	full bool
}

func (d *fullDisk) Update(ctx context.Context, buildID string, fn func(*farm.Record) error) error {
	if d.full {
		return errors.New("no space left on device")
	}
	return d.Store.Update(ctx, buildID, fn)
}

// TestSweepWaitsAfterAFullDisk has a worker extend its lease in vain. The farm knows that it is alive.
func TestSweepWaitsAfterAFullDisk(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		w.sweep(20 * time.Second)
		disk := &fullDisk{Store: w.store}
		w.Store = disk
		a := w.claim("w1", amd64)
		disk.full = true
		for range 2 {
			w.sweep(6 * time.Second)
			if _, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{}); err == nil {
				t.Error("extended on a full disk")
			}
		}
		disk.full = false
		w.sweep(14 * time.Second) // the lease has run out
		w.wantState(w.job(b.ID, amd64), farm.Running)
		w.sweep(2 * time.Second)
		w.wantState(w.job(b.ID, amd64), farm.Queued)
	})
}

func TestSweepRingsAgain(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.bell.err = fmt.Errorf("Redis is away") // rings and notifications fail; the work goes on
		b := w.submit(submission("0.1.0", amd64, arm64))
		w.bell.take()
		for _, step := range []struct {
			after time.Duration
			rings int
		}{{9 * time.Second, 0}, {2 * time.Second, 1}, {9 * time.Second, 0}, {2 * time.Second, 1}} {
			w.sweep(step.after)
			if got := len(w.bell.take()); got != step.rings {
				t.Errorf("%d rings, want %d", got, step.rings)
			}
		}
		w.bell.err = nil
		w.sweep(11 * time.Second)
		if got := len(w.bell.take()); got != 2 {
			t.Errorf("%d rings for two jobs", got)
		}
		w.claim("w1", amd64)
		w.sweep(11 * time.Second)
		if got := w.bell.take(); len(got) != 1 || got[0] != "linux/arm64" {
			t.Errorf("rung for %v", got)
		}
		w.wantState(w.job(b.ID, amd64), farm.Running)
	})
}

func TestFaultIsTriedAgain(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("0.1.0", amd64))
		fault := farm.Outcome{Kind: farm.OutcomeFault, Reason: "disk full"}
		for i := 1; i < farm.MaxAttempts; i++ {
			a := w.claim("w1", amd64)
			w.wantState(w.finish(a, fault), farm.Queued, "worker w1 could not go on: disk full")
			w.wantState(w.finish(a, fault), farm.Queued) // again: nothing changes
			if _, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{}); err == nil {
				t.Error("a lease that was given back still holds the job")
			}
		}
		w.wantState(w.finish(w.claim("w1", amd64), fault), farm.Failed, "disk full", "attempt 3 of 3", "start the build again")
	})
}

func TestReturnedBurnsNoAttempt(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("0.1.0", amd64))
		for range 5 {
			a := w.claim("w1", amd64)
			if a.Job.Attempt != 1 {
				t.Fatalf("attempt %d", a.Job.Attempt)
			}
			w.bell.take()
			w.wantState(w.finish(a, farm.Outcome{Kind: farm.OutcomeReturned}), farm.Queued, "gave the job back")
			if len(w.bell.take()) != 1 {
				t.Error("nobody was rung")
			}
		}
	})
}

func TestCancel(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64, arm64, arm32v7))
		a := w.claim("w1", amd64)
		w.claim("w2", arm64)
		if err := w.Cancel(t.Context(), w.job(b.ID, arm32v7).ID); err != nil { // one job
			t.Fatal(err)
		}
		w.wantState(w.job(b.ID, arm32v7), farm.Cancelled, "cancelled on request")
		w.wantState(w.job(b.ID, amd64), farm.Running)
		if err := w.Cancel(t.Context(), b.ID); err != nil { // the rest
			t.Fatal(err)
		}
		if len(w.bell.cancelled) != 2 || !w.job(b.ID, amd64).CancelRequested {
			t.Errorf("told %v", w.bell.cancelled)
		}
		if d, err := w.Extend(t.Context(), a.Lease.Ref(), farm.Progress{}); err != nil || !d.Cancel {
			t.Errorf("Extend: %+v, %v", d, err)
		}
		w.wantState(w.finish(a, farm.Outcome{Kind: farm.OutcomeFailed, Reason: "stopped"}), farm.Cancelled, "on request")
		w.sweep(20 * time.Second) // the other worker never answered
		w.wantState(w.job(b.ID, arm64), farm.Cancelled)
		if got := w.build(b.ID); got.EndedAt.IsZero() {
			t.Error("the build has no end")
		}
		for _, id := range []string{b.ID, "no-such-id"} {
			if err := w.Cancel(t.Context(), id); err == nil {
				t.Errorf("Cancel(%s) again: no error", id)
			}
		}
		queued := w.submit(submission("", amd64))
		if err := w.Cancel(t.Context(), queued.ID); err != nil {
			t.Fatal(err)
		}
		w.wantState(w.job(queued.ID, amd64), farm.Cancelled)
	})
}

func TestWhyQueued(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("", arm64, arm32v7))
		w.wantState(w.job(b.ID, arm64), farm.Queued, "a worker that can build linux/arm64 asks for work", "has just started", "modfarm worker")
		worker := farm.Worker{Name: "big", Native: []module.Platform{arm64}}
		if _, err := w.Claim(t.Context(), worker); err != nil {
			t.Fatal(err)
		}
		second := w.submit(submission("", arm64))
		w.wantState(w.job(second.ID, arm64), farm.Queued, "until one of these workers is free: big")
		w.wantState(w.job(b.ID, arm32v7), farm.Queued, "a worker that can build linux/arm32v7")
		w.clock.Advance(2 * time.Minute)
		w.wantState(w.job(second.ID, arm64), farm.Queued, "a worker that can build linux/arm64", "none did in the last minute")
	})
}

// TestSweepRingsEnough: a thousand jobs that wait for nobody are no reason to ring a thousand times every ten seconds.
func TestSweepRingsEnough(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		const jobs, most = 40, 32
		for range jobs {
			w.submit(submission("", arm64))
		}
		w.submit(submission("", amd64))
		for range 2 {
			w.bell.take()
			w.sweep(12 * time.Second)
			rung := map[string]int{}
			for _, p := range w.bell.take() {
				rung[p]++
			}
			if rung[arm64.String()] != most || rung[amd64.String()] != 1 {
				t.Errorf("rung %v, want %d and 1", rung, most)
			}
		}
	})
}
