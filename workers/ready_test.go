package workers_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/workers"
)

// gatedFetcher fetches only after its gate has opened.
type gatedFetcher struct {
	workers.Fetcher
	gate <-chan struct{}
}

func (f gatedFetcher) Fetch(ctx context.Context, r source.Repository, commit, dir string) error {
	select {
	case <-f.gate:
		return f.Fetcher.Fetch(ctx, r, commit, dir)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tellingRunner says when a container was started, and keeps folders until it may remove them.
type tellingRunner struct {
	*hostRunner
	started   chan module.Platform
	mayRemove <-chan struct{}
}

func (r tellingRunner) Start(ctx context.Context, room workers.Room) (workers.Container, error) {
	box, err := r.hostRunner.Start(ctx, room)
	r.started <- room.Platform
	return box, err
}

func (r tellingRunner) RemoveFolder(ctx context.Context, dir string) error {
	select {
	case <-r.mayRemove:
	case <-time.After(20 * time.Second):
		return errors.New("waited for the outcome in vain")
	}
	return r.hostRunner.RemoveFolder(ctx, dir)
}

func TestContainerStartsWhileTheSourceIsFetched(t *testing.T) {
	t.Parallel()
	for _, target := range []module.Platform{platform("amd64"), platform("arm64")} {
		w := newWorld(t)
		gate, started, open := make(chan struct{}), make(chan module.Platform, 3), make(chan struct{})
		close(open)
		w.pool.Fetcher, w.pool.Runner = gatedFetcher{w.pool.Fetcher, gate}, tellingRunner{w.runner, started, open}
		w.start()
		id := w.submit(func(a *client.Assignment) {
			a.Job.Platform = target
			if target != platform("amd64") {
				a.Strategies = []module.Strategy{module.StrategyQEMU}
			}
		}, module.BuildSpec{Build: "ls run.sh && " + makeOut}, map[string]string{"run.sh": "#!/bin/sh\n"})
		if got := wait(t, "a container before the source is there", started); got != target {
			t.Errorf("a container of %s was started for %s", got, target)
		}
		close(gate)
		if got := w.outcome(id); got.Kind != client.OutcomeDone {
			t.Errorf("outcome %+v", got)
		}
		if len(started) != 0 {
			t.Error("another container was started")
		}
	}
}

// TestContainerOfNoUseIsRemoved leaves the looking to nothingLeft.
func TestContainerOfNoUseIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	started, open := make(chan module.Platform, 1), make(chan struct{})
	close(open)
	w.pool.Runner = tellingRunner{w.runner, started, open}
	w.start()
	id := w.submit(func(a *client.Assignment) { a.Token = "another" }, module.BuildSpec{Build: makeOut}, nil)
	if got := w.outcome(id); got.Kind != client.OutcomeFailed {
		t.Errorf("outcome %+v", got)
	}
	wait(t, "a container", started)
}

// TestFarmHearsBeforeTheCleaning keeps the job's folder until the farm has heard of the outcome.
func TestFarmHearsBeforeTheCleaning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	heard := make(chan struct{})
	w.pool.Runner = tellingRunner{w.runner, make(chan module.Platform, 1), heard}
	w.start()
	id := w.submit(nil, module.BuildSpec{Build: makeOut}, nil)
	if got := w.outcome(id); got.Kind != client.OutcomeDone {
		t.Errorf("outcome %+v", got)
	}
	close(heard)
}
