package farm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// defaultMemory is what a job takes that does not say: enough to compile and link a Go program of middling size.
	defaultMemory = 1 << 30
	// memoryPatience is how long a job that does not fit beside what a worker builds is passed over by smaller ones.
	// After it the worker takes nothing else until the job fits, so that small jobs cannot keep a large one waiting
	// for ever.
	memoryPatience = 2 * time.Minute
)

var (
	errTooLarge = errors.New("the job does not fit now")
	errReserved = errors.New("the worker's memory is kept for a job that does not fit now")
)

// Claim gives the worker the best job it can do, under a lease, or nil when there is none. Organizations share the
// workers, see Queue.ClaimJob; native comes before cross before QEMU, and the oldest build first. Jobs are kept for
// native workers for a bounded time, see holdBack. A job whose release turns out to exist is published instead of
// handed out. A claim under a lease that was given before is answered with its job again, or with ErrLeaseLost when that
// is over; from a worker that stops it gives the job back.
func (f *Farm) Claim(ctx context.Context, w Worker) (*Assignment, error) {
	f.setup()
	w.Name = oneLine(w.Name)
	if w.Name == "" {
		return nil, module.Faults{{Path: "worker", Problem: "has no name", Advice: "give every worker a name of its own"}}
	}
	next, err := nextLease(&w)
	if err != nil {
		return nil, err
	}
	if w.Draining {
		f.see(w)
		return nil, f.takeBack(ctx, next)
	}
	if err := f.drained(ctx, &w); err != nil {
		return nil, err
	}
	f.see(w)
	want := Want{Worker: w.Name, Overdue: f.now().Add(-heldFor), DefaultMemory: w.need(0), Memory: w.Memory, LeaseHashes: next.hashes()}
	if !w.Draining {
		want.Offers = f.avoid(w.Name, f.holdBack(w.Name, offersOf(w)))
	}
	if len(want.Offers) == 0 && next == "" {
		return nil, nil
	}
	for {
		a, err := f.claimNext(ctx, w, want, next)
		switch {
		case errors.Is(err, module.ErrNotFound), errors.Is(err, errReserved):
			f.setIdle(w.Name, errors.Is(err, module.ErrNotFound))
			return nil, f.passOn(ctx, w.Name, want.Offers)
		case errors.Is(err, errTooLarge):
			if w.MemoryFree <= 0 {
				return nil, nil
			}
			want.Memory = w.MemoryFree // what fits now, instead
		case a != nil || err != nil:
			f.setIdle(w.Name, false)
			return a, err
		default:
			next, want.LeaseHashes = "", nil // it was for the job that ended
		}
	}
}

// need is what a job takes on the worker, in bytes. The default is never more than the worker has.
func (w Worker) need(memory int64) int64 {
	switch {
	case memory > 0:
		return memory
	case w.Memory > 0:
		return min(defaultMemory, w.Memory)
	}
	return defaultMemory
}

// Resume gives a worker the job again that its lease still holds, and renews the lease: after a restart, or because the
// checkout token is not accepted any more, with a new one where the farm mints them. Another holder, or a job that is
// over, is ErrLeaseLost.
func (f *Farm) Resume(ctx context.Context, w Worker, ref LeaseRef) (*Assignment, error) {
	f.setup()
	if err := f.drained(ctx, &w); err != nil {
		return nil, err
	}
	f.see(w)
	rec, err := f.updateJob(ctx, ref.JobID, func(_ *Record, j *JobRecord) error { return f.hold(j, ref) })
	if err != nil {
		return nil, err
	}
	token, err := f.checkoutToken(ctx, rec)
	if err != nil {
		return nil, err
	}
	j := rec.find(ref.JobID)
	strategies, err := f.strategies(ctx, rec, j, offersOf(w))
	if err != nil {
		return nil, err
	}
	if j.Job.Strategy != module.StrategyAuto && !slices.Contains(strategies, j.Job.Strategy) {
		strategies = slices.Insert(strategies, 0, j.Job.Strategy) // what runs already goes on
	}
	f.log().InfoContext(ctx, "job resumed", "build", rec.Build.ID, "job", ref.JobID, "worker", w.Name)
	lease := Lease{JobID: ref.JobID, Token: ref.Token, TTL: LeaseTTL}
	return &Assignment{Lease: lease, Job: j.Job, Build: rec.Build, Token: token, Strategies: strategies}, nil
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
func (f *Farm) claimNext(ctx context.Context, w Worker, want Want, next leaseToken) (*Assignment, error) {
	lease := Lease{Token: cmp.Or(string(next), newToken()), TTL: LeaseTTL}
	taken := ""
	j, err := f.Store.ClaimJob(ctx, want, func(j *JobRecord) error {
		taken = j.Job.ID
		if err := f.fits(j, w, want); err != nil {
			return err
		}
		return f.take(j, w.Name, lease.Token)
	})
	if err != nil {
		return nil, err
	}
	lease.JobID = j.Job.ID
	if taken != lease.JobID {
		return f.Resume(ctx, w, lease.Ref())
	}
	rec, err := f.Store.Record(ctx, j.Job.BuildID)
	if err != nil {
		return nil, err
	}
	if ended, err := f.endExisting(ctx, rec, lease.Ref()); ended || err != nil {
		return nil, err
	}
	token, err := f.checkoutToken(ctx, rec)
	if err != nil {
		kind := OutcomeFailed
		if errors.Is(err, module.ErrUnavailable) {
			kind = OutcomeFault // GitHub is away, not the build wrong
		}
		_, err = f.Finish(ctx, lease.Ref(), Outcome{Kind: kind, Reason: err.Error()})
		return nil, err
	}
	strategies, err := f.strategies(ctx, rec, j, want.Offers)
	if err != nil {
		return nil, err
	}
	if len(strategies) == 0 { // its last strategy failed elsewhere a moment ago
		_, err := f.Finish(ctx, lease.Ref(), Outcome{Kind: OutcomeReturned})
		return nil, err
	}
	f.log().InfoContext(ctx, "job claimed", "build", rec.Build.ID, "job", j.Job.ID, "module", rec.Build.Module.String(),
		"platform", j.Job.Platform.String(), "worker", w.Name, "attempt", j.Job.Attempt,
		"after_ms", f.now().Sub(j.Job.QueuedAt).Milliseconds())
	build := rec.Build
	return &Assignment{Lease: lease, Job: j.Job, Build: build, Token: token, Strategies: strategies}, nil
}

// fits says whether the worker has the memory for the job now.
func (f *Farm) fits(j *JobRecord, w Worker, want Want) error {
	switch {
	case w.Memory == 0, want.Memory < w.Memory, w.need(j.Job.Memory) <= w.MemoryFree:
		return nil
	case f.now().Sub(j.Job.QueuedAt) >= memoryPatience:
		return errReserved
	}
	return errTooLarge
}

// take makes the job the worker's.
func (f *Farm) take(j *JobRecord, worker, token string) error {
	now, why := f.now(), j.Job.Reason
	if err := j.move(Running, "", now); err != nil {
		return err
	}
	j.Job.Attempt++
	j.Job.Worker, j.Job.Step, j.Job.Strategy, j.Job.StartedAt = worker, "", "", now
	j.Job.Release, j.Job.Report, j.AvoidUntil = nil, nil, time.Time{}
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
