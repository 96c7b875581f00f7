package farm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/modfarm/modfarm/module"
)

// Claim gives the worker the best job it can do, under a lease, or nil when there is none: native before cross
// before QEMU, the oldest build first. While a native worker is known to be idle, others do not get its jobs. A job whose release turns out to exist is published instead of handed out.
func (f *Farm) Claim(ctx context.Context, w Worker) (*Assignment, error) {
	f.setup()
	if w.Name == "" {
		return nil, module.Faults{{Path: "worker", Problem: "has no name", Advice: "give every worker a name of its own"}}
	}
	f.see(w)
	offers := f.holdBack(w.Name, offersOf(w))
	if len(offers) == 0 {
		return nil, nil
	}
	for {
		a, err := f.claimNext(ctx, w, offers)
		if errors.Is(err, module.ErrNotFound) {
			f.setIdle(w.Name, true)
			return nil, nil
		}
		if a != nil || err != nil {
			f.setIdle(w.Name, false)
			return a, err
		}
	}
}

// holdBack marks what another worker that has nothing to do can build natively. The mark lasts for two polls: a
// native worker that does not come by then is busy or gone, and emulation is better than waiting.
func (f *Farm) holdBack(worker string, offers []Offer) []Offer {
	for i, o := range offers {
		offers[i].Held = o.Strategy != module.StrategyNative && f.nativeIsIdle(o.Platform, worker)
	}
	return offers
}

// offersOf lists what a worker can do, each once, ranked.
func offersOf(w Worker) []Offer {
	var offers []Offer
	for rank, kind := range []struct {
		strategy  module.Strategy
		platforms []module.Platform
	}{{module.StrategyNative, w.Native}, {module.StrategyCross, w.Cross}, {module.StrategyQEMU, w.QEMU}} {
		for _, p := range kind.platforms {
			o := Offer{Platform: p, Strategy: kind.strategy, Rank: rank}
			if !slices.Contains(offers, o) {
				offers = append(offers, o)
			}
		}
	}
	return offers
}

// claimNext claims one job. A nil assignment without an error means that the job ended instead: claim another.
func (f *Farm) claimNext(ctx context.Context, w Worker, offers []Offer) (*Assignment, error) {
	lease := Lease{Token: newToken(), TTL: LeaseTTL}
	j, err := f.Store.ClaimJob(ctx, offers, func(j *JobRecord) error { return f.take(j, w.Name, lease.Token) })
	if err != nil {
		return nil, err
	}
	lease.JobID = j.Job.ID
	rec, err := f.Store.Record(ctx, j.Job.BuildID)
	if err != nil {
		return nil, err
	}
	if ended, err := f.endExisting(ctx, rec, lease.Ref()); ended || err != nil {
		return nil, err
	}
	token, err := f.openToken(rec)
	if err != nil {
		_, err = f.Finish(ctx, lease.Ref(), Outcome{Kind: OutcomeFailed, Reason: err.Error()})
		return nil, err
	}
	strategies, err := f.strategies(ctx, rec, j, offers)
	if err != nil {
		return nil, err
	}
	if len(strategies) == 0 { // its last strategy failed elsewhere a moment ago
		_, err := f.Finish(ctx, lease.Ref(), Outcome{Kind: OutcomeReturned})
		return nil, err
	}
	f.log().InfoContext(ctx, "job claimed", "build", rec.Build.ID, "job", j.Job.ID, "module", rec.Build.Module.String(),
		"platform", j.Job.Platform.String(), "worker", w.Name, "attempt", j.Job.Attempt)
	build := rec.Build
	return &Assignment{Lease: lease, Job: j.Job, Build: build, Token: token, Strategies: strategies}, nil
}

// take makes the job the worker's.
func (f *Farm) take(j *JobRecord, worker, token string) error {
	now, why := f.now(), j.Job.Reason
	if err := j.move(Running, "", now); err != nil {
		return err
	}
	j.Job.Attempt++
	j.Job.Worker, j.Job.Step, j.Job.Strategy, j.Job.StartedAt, j.Job.Release = worker, "", "", now, nil
	j.LeaseHash, j.LeaseUntil = hashToken(token), now.Add(LeaseTTL)
	if why != "" {
		j.write("Retry", fmt.Sprintf("attempt %d of %d on worker %s: %s\n", j.Job.Attempt, MaxAttempts, worker, why))
	}
	return nil
}

// endExisting publishes (or refuses) a claimed job whose release exists already: a worker that was lost after its
// upload, or another build of the same version.
func (f *Farm) endExisting(ctx context.Context, rec *Record, ref LeaseRef) (bool, error) {
	if rec.Build.Version.IsZero() {
		return false, nil
	}
	_, err := f.Publisher.Find(ctx, rec.Build.Module, rec.Build.Version, rec.find(ref.JobID).Job.Platform)
	if errors.Is(err, module.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.updateJob(ctx, ref.JobID, func(_ *Record, j *JobRecord) error {
		if err := f.hold(j, ref); err != nil {
			return err
		}
		return j.move(Publishing, "", f.now())
	})
	if err != nil {
		return false, err
	}
	return true, f.publishBuild(ctx, rec.Build.ID)
}

// strategies are what the worker may try on the job, the best first.
func (f *Farm) strategies(ctx context.Context, rec *Record, j *JobRecord, offers []Offer) ([]module.Strategy, error) {
	failed, err := f.Store.FailedStrategies(ctx, rec.Build.Module)
	if err != nil {
		return nil, err
	}
	var allowed []module.Strategy
	for _, o := range offers {
		if o.Platform == j.Job.Platform && j.allows(o.Strategy, failed) {
			allowed = append(allowed, o.Strategy)
		}
	}
	return allowed, nil
}

// allows says whether the job may be built with a strategy: the pinned one if there is one, else any that did not
// fail before.
func (j *JobRecord) allows(s module.Strategy, failed []FailedStrategy) bool {
	if j.Pin != module.StrategyAuto {
		return s == j.Pin
	}
	return !slices.ContainsFunc(failed, func(x FailedStrategy) bool {
		return x.Platform == j.Job.Platform && x.Strategy == s
	})
}
