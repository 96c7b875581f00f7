package farm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// sighting is when a worker was last heard of by this process, and what it can do.
type sighting struct {
	at     time.Time
	offers []Offer
	idle   bool // its last claim gave it nothing
}

// see notes a worker that asks for work.
func (f *Farm) see(w Worker) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers[w.Name] = sighting{at: now, offers: offersOf(w), idle: f.workers[w.Name].idle}
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
	s := f.workers[name]
	s.idle = idle
	f.workers[name] = s
}

// nativeIsIdle says whether a worker other than this one could build the platform natively right now.
func (f *Farm) nativeIsIdle(p module.Platform, other string) bool {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, s := range f.workers {
		if name != other && s.idle && now.Sub(s.at) < workerIdle &&
			slices.Contains(s.offers, Offer{Platform: p, Strategy: module.StrategyNative}) {
			return true
		}
	}
	return false
}

// view is the record as everybody may see it. What a queued job waits for is not stored but found out here.
func (f *Farm) view(ctx context.Context, r *Record) (Build, error) {
	f.setup()
	b := r.Build
	b.Jobs = make([]Job, 0, len(r.Jobs))
	var failed []FailedStrategy
	if len(r.in(Queued)) > 0 {
		var err error
		if failed, err = f.Store.FailedStrategies(ctx, b.Module); err != nil {
			return Build{}, err
		}
	}
	for _, j := range r.Jobs {
		job := j.Job
		if job.State == Queued {
			job.Reason = f.whyQueued(j, failed)
		}
		b.Jobs = append(b.Jobs, job)
	}
	slices.SortFunc(b.Jobs, func(x, y Job) int { return strings.Compare(x.Platform.String(), y.Platform.String()) })
	return b, nil
}

// whyQueued answers in one sentence why the job is not running.
func (f *Farm) whyQueued(j *JobRecord, failed []FailedStrategy) string {
	able, other := f.liveWorkers(j, failed)
	why := ""
	switch {
	case len(able) > 0:
		why = "waiting until one of these workers is free: " + strings.Join(able, ", ")
	case len(other) == 0:
		why = fmt.Sprintf("waiting for a worker: none that can build %s asked for work in the last minute; start one with: modfarm worker",
			j.Job.Platform)
	case j.Pin != module.StrategyAuto:
		why = fmt.Sprintf("waiting for a worker that builds %s by %s, as modfarm.yaml asks; live workers offer only %s: "+
			"start such a worker, or remove that line", j.Job.Platform, j.Pin, strings.Join(other, ", "))
	default:
		why = fmt.Sprintf("waiting for a worker: %s does not work for this module on %s, and no live worker offers anything else; "+
			"start a worker of that platform, or one with QEMU", strings.Join(other, ", "), j.Job.Platform)
	}
	if j.Job.Reason != "" {
		return j.Job.Reason + "; " + why
	}
	return why
}

// liveWorkers names the workers that may do the job, and the strategies for its platform that may not be used.
func (f *Farm) liveWorkers(j *JobRecord, failed []FailedStrategy) (able, other []string) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, s := range f.workers {
		if now.Sub(s.at) > workerAlive {
			continue
		}
		for _, o := range s.offers {
			switch {
			case o.Platform != j.Job.Platform:
			case !j.allows(o.Strategy, failed):
				other = append(other, string(o.Strategy))
			case !slices.Contains(able, name):
				able = append(able, name)
			}
		}
	}
	slices.Sort(able)
	slices.Sort(other)
	return able, slices.Compact(other)
}
