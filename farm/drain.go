package farm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Drains keeps which workers get no more jobs. A store implements it.
type Drains interface {
	// Drain notes that a worker gets no more jobs; one that is drained already stays so since then.
	Drain(ctx context.Context, worker string, at time.Time) error
	// Undrain forgets that.
	Undrain(ctx context.Context, worker string) error
	// Drained are those workers, by name, with since when.
	Drained(ctx context.Context) (map[string]time.Time, error)
	// Holding counts the running jobs of each worker that has some.
	Holding(ctx context.Context) (map[string]int, error)
	// Worked says whether a worker ever had a job that is still on record.
	Worked(ctx context.Context, worker string) (bool, error)
}

// Drain has a worker get no more jobs until Undrain, across restarts of farm and worker. What it builds goes on. A name
// that the farm never heard is module.ErrNotFound.
func (f *Farm) Drain(ctx context.Context, worker string) error { return f.setDrain(ctx, worker, true) }

// Undrain lets a worker get jobs again. One that stops by itself is not changed by it, and one that the farm never heard
// of is module.ErrNotFound.
func (f *Farm) Undrain(ctx context.Context, worker string) error {
	return f.setDrain(ctx, worker, false)
}

func (f *Farm) setDrain(ctx context.Context, worker string, drain bool) error {
	f.setup()
	worker = oneLine(worker)
	if worker == "" {
		return module.Faults{{Path: "worker", Problem: "has no name", Advice: "name it as 'modfarm worker list' does"}}
	}
	err := f.heardOf(ctx, worker)
	if err != nil {
		return err
	}
	if drain {
		err = f.Store.Drain(ctx, worker, f.now())
	} else {
		err = f.Store.Undrain(ctx, worker)
	}
	if err != nil {
		return err
	}
	f.log().InfoContext(ctx, "worker drained", "worker", worker, "drain", drain)
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.workers[worker]; ok { // a busy one says nothing for itself until it has room
		s.worker.Draining = drain
		f.workers[worker] = s
	}
	return nil
}

// heardOf is module.ErrNotFound for a worker that is not listed and never had a job: a drain of a mistyped name would
// be taken for one of the worker that was meant. The jobs speak for workers that another node of the farm hears.
func (f *Farm) heardOf(ctx context.Context, worker string) error {
	list, err := f.Workers(ctx)
	if err != nil || slices.ContainsFunc(list, func(s Standing) bool { return s.Name == worker }) {
		return err
	}
	worked, err := f.Store.Worked(ctx, worker)
	if err == nil && !worked {
		err = fmt.Errorf("%w: this farm knows no worker %q; 'modfarm worker list' names those that it knows, and a new one is known once it asks for jobs",
			module.ErrNotFound, worker)
	}
	return err
}

// drained marks a worker that asks for work as draining where somebody said so.
func (f *Farm) drained(ctx context.Context, w *Worker) error {
	if w.Draining {
		return nil
	}
	all, err := f.Store.Drained(ctx)
	if err != nil {
		return err
	}
	_, w.Draining = all[w.Name]
	return nil
}

// Standing is a worker as the farm knows it.
type Standing struct {
	Worker
	// Running is how many jobs it has.
	Running int
	// SeenAt is when this process of the farm last heard of it; zero for not since it started.
	SeenAt time.Time
	// DrainedAt is since when it gets no jobs because somebody said so; zero when nobody did. A worker that stops by
	// itself is Draining without it.
	DrainedAt time.Time
}

// Workers lists the workers of which the farm heard in the last minute, that have jobs, or that are drained, by name.
// Of a farm of several nodes each knows when it heard a worker itself.
func (f *Farm) Workers(ctx context.Context) ([]Standing, error) {
	f.setup()
	drained, err := f.Store.Drained(ctx)
	holding, herr := f.Store.Holding(ctx)
	if err := errors.Join(err, herr); err != nil {
		return nil, err
	}
	known := map[string]Standing{}
	for _, s := range f.seen() {
		known[s.worker.Name] = Standing{Worker: s.worker, SeenAt: s.at}
	}
	for name, jobs := range holding {
		s := known[name]
		s.Name, s.Running = name, jobs
		known[name] = s
	}
	for name, at := range drained {
		s := known[name]
		s.Name, s.Draining, s.DrainedAt = name, true, at
		known[name] = s
	}
	list := make([]Standing, 0, len(known))
	for _, s := range known {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Standing) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
