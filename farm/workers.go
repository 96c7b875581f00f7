package farm

import (
	"context"
	"slices"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// workerAlive is how long after its last word a worker counts when it is told what a job waits for.
	workerAlive = time.Minute
	// workerIdle is how long a worker whose claim gave nothing counts as free: two of its polls.
	workerIdle = 6 * time.Second
	// heldFor bounds how long a job is kept for a busy native worker before another may emulate its platform. An
	// emulated build takes six times as long or more (docs/bench.md), so for a build of half a minute a wait of one
	// minute still wins, and a shorter build loses no more than that minute.
	heldFor = time.Minute
)

// sighting is when a worker was last heard of by this process, and what it said.
type sighting struct {
	at     time.Time
	worker Worker
	offers []Offer
	idle   bool // its last claim gave it nothing
}

// see notes a worker that asks for work.
func (f *Farm) see(w Worker) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers[w.Name] = sighting{at: now, worker: w, offers: offersOf(w), idle: f.workers[w.Name].idle}
	for name, s := range f.workers {
		if now.Sub(s.at) > 10*workerAlive {
			delete(f.workers, name)
		}
	}
}

// seeAgain notes a worker that extends a lease.
func (f *Farm) seeAgain(name string) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.workers[name]; ok {
		s.at = now
		f.workers[name] = s
	}
}

// setIdle notes whether a claim gave a worker nothing.
func (f *Farm) setIdle(name string, idle bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.workers[name]; ok {
		s.idle = idle
		f.workers[name] = s
	}
}

// holdBack keeps young jobs from what a worker can do worse than natively: from crossing while a native worker has
// nothing to do, as it is about to come by, and from emulation while there is one at all.
func (f *Farm) holdBack(worker string, offers []Offer) []Offer {
	now := f.now()
	for i, o := range offers {
		idle, live := f.nativeWorkers(o.Platform, worker, now)
		switch {
		case o.Strategy == module.StrategyCross && idle:
			offers[i].HeldAfter = now.Add(-workerIdle)
		case o.Strategy == module.StrategyQEMU && len(live) > 0:
			offers[i].HeldAfter = now.Add(-heldFor)
		}
	}
	return offers
}

// passOn rings for the jobs that were kept from a worker for one which has nothing to do: a ring wakes one worker, and
// this one took it.
func (f *Farm) passOn(ctx context.Context, worker string, offers []Offer) error {
	now := f.now()
	for _, o := range offers {
		if o.HeldAfter.IsZero() {
			continue
		}
		if idle, _ := f.nativeWorkers(o.Platform, worker, now); !idle || !f.mayPassOn(o.Platform, now) {
			continue
		}
		if line, err := f.Store.Line(ctx, o.Platform); err != nil || len(line) == 0 {
			return err
		}
		f.ring(ctx, []JobRef{{Platform: o.Platform}})
	}
	return nil
}

// mayPassOn bounds how often a ring is passed on: a worker that seems to be idle may be gone, and the ring come back.
func (f *Farm) mayPassOn(p module.Platform, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.passed[p]) < time.Second {
		return false
	}
	f.passed[p] = now
	return true
}

// nativeWorkers names the live workers other than this one that build the platform natively, and says whether one of
// them has nothing to do.
func (f *Farm) nativeWorkers(p module.Platform, other string, now time.Time) (idle bool, live []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, s := range f.workers {
		if name == other || s.worker.Draining || now.Sub(s.at) >= LeaseTTL || !slices.Contains(s.worker.Native, p) {
			continue
		}
		live = append(live, name)
		idle = idle || s.idle && now.Sub(s.at) < workerIdle
	}
	slices.Sort(live)
	return idle, live
}

// seen returns the workers that were heard of lately, by name.
func (f *Farm) seen() []sighting {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	var live []sighting
	for _, s := range f.workers {
		if now.Sub(s.at) <= workerAlive {
			live = append(live, s)
		}
	}
	slices.SortFunc(live, func(a, b sighting) int {
		if a.worker.Name < b.worker.Name {
			return -1
		}
		return 1
	})
	return live
}
