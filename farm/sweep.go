package farm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	sweepBatch = 1000
	// ringsAtOnce bounds how often a platform is rung for in one sweep. A ring wakes one worker, which then claims until
	// nothing is left: more rings than there are workers only keep Redis busy.
	ringsAtOnce = 32
)

// sweepLoop sweeps every two seconds until ctx ends.
func (f *Farm) sweepLoop(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := f.Sweep(ctx); err != nil && ctx.Err() == nil {
			f.log().ErrorContext(ctx, "sweep", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Sweep does one round of what Run does every two seconds: jobs whose lease ran out are queued again or fail,
// publishing that stopped half way goes on, and workers are rung for queued jobs that nobody claimed. No lease is
// judged before the farm has heard its workers for one full lease, because nobody could extend it while the farm was
// away, or could not write.
func (f *Farm) Sweep(ctx context.Context) error {
	f.setup()
	var errs error
	if f.steady() {
		errs = errors.Join(f.sweepLeases(ctx), f.sweepPublishing(ctx))
	}
	return errors.Join(errs, f.ringOverdue(ctx))
}

func (f *Farm) sweepLeases(ctx context.Context) error {
	lost, err := f.Store.Overdue(ctx, Running, f.now(), sweepBatch)
	if err != nil {
		return err
	}
	var errs error
	for _, ref := range lost {
		errs = errors.Join(errs, f.expire(ctx, ref))
	}
	return errs
}

// expire takes a job from a worker that stopped extending its lease. The lease stays known, so that the worker may
// come back for as long as nobody else claimed the job.
func (f *Farm) expire(ctx context.Context, ref JobRef) error {
	expired := false
	rec, err := f.updateJob(ctx, ref.JobID, func(r *Record, j *JobRecord) error {
		now := f.now()
		expired = j.Job.State == Running && j.LeaseUntil.Before(now)
		if !expired {
			return nil
		}
		if j.Job.CancelRequested {
			j.LeaseHash = ""
			return j.move(Cancelled, r.stopped(), now)
		}
		where := ""
		if j.Job.Step != "" {
			where = " in step " + j.Job.Step
		}
		if err := j.retry(fmt.Sprintf("worker %s stopped answering%s", j.Job.Worker, where), now); err != nil {
			return err
		}
		if j.Job.State.Terminal() {
			j.LeaseHash = ""
		}
		return nil
	})
	if err != nil || !expired {
		return err
	}
	j := rec.find(ref.JobID).Job
	f.log().WarnContext(ctx, "worker lost", "build", ref.BuildID, "job", ref.JobID, "platform", ref.Platform.String(),
		"worker", j.Worker, "attempt", j.Attempt, "state", string(j.State))
	if j.State == Queued {
		f.ring(ctx, []JobRef{ref})
	}
	f.notifyEnded(ctx, rec)
	return nil
}

// sweepPublishing goes on with archives whose publishing was cut off: the process ended, or the registry did not
// answer.
func (f *Farm) sweepPublishing(ctx context.Context) error {
	left, err := f.Store.Overdue(ctx, Publishing, f.now(), sweepBatch)
	if err != nil {
		return err
	}
	var errs error
	seen := map[string]bool{}
	for _, ref := range left {
		if seen[ref.BuildID] {
			continue
		}
		seen[ref.BuildID] = true
		errs = errors.Join(errs, f.publishBuild(ctx, ref.BuildID))
	}
	return errs
}

// ringOverdue rings for queued jobs that nobody was rung for lately: a bell may have been lost.
func (f *Farm) ringOverdue(ctx context.Context) error {
	now := f.now()
	quiet, err := f.Store.Overdue(ctx, Queued, now.Add(-ringAgain), sweepBatch)
	if err != nil || len(quiet) == 0 {
		return err
	}
	ids := make([]string, len(quiet))
	for i, ref := range quiet {
		ids[i] = ref.JobID
	}
	if err := f.Store.MarkRung(ctx, ids, now); err != nil {
		return err
	}
	rung := map[module.Platform]int{}
	f.ring(ctx, slices.DeleteFunc(quiet, func(ref JobRef) bool {
		rung[ref.Platform]++
		return rung[ref.Platform] > ringsAtOnce
	}))
	return nil
}
