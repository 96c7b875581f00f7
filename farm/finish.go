package farm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Stage remembers the archive that was received and inspected for a job. The farm fills in from its own records what
// a worker is not trusted with: module, version, platform, commit, build and meta.json. The last call before Finish
// counts.
func (f *Farm) Stage(ctx context.Context, ref LeaseRef, rel module.Release) error {
	f.setup()
	if rel.SHA256 == "" || rel.Size <= 0 {
		return module.Faults{{Path: "release", Problem: "has no digest or size", Advice: "upload the archive again"}}
	}
	_, err := f.updateJob(ctx, ref.JobID, func(r *Record, j *JobRecord) error {
		if err := f.hold(j, ref); err != nil {
			return err
		}
		b := r.Build
		rel.ID, rel.Version, rel.Platform, rel.Commit, rel.BuildID = b.Module, b.Version, j.Job.Platform, b.Commit, b.ID
		rel.Tags = nil
		if rel.Strategy == "" {
			rel.Strategy = j.Job.Strategy
		}
		if b.Manifest != nil {
			data, err := json.Marshal(b.Manifest)
			if err != nil {
				return fmt.Errorf("meta.json of build %s: %w", b.ID, err)
			}
			rel.Manifest = data
		}
		staged := rel
		j.Job.Release = &staged
		return nil
	})
	return err
}

// Finish ends a worker's work on a job and returns the job as it then stands; what it was asked to publish is
// published when Finish returns, unless the registry does not answer, in which case the farm goes on trying. The same
// call again, under the same lease, changes nothing.
func (f *Farm) Finish(ctx context.Context, ref LeaseRef, out Outcome) (Job, error) {
	f.setup()
	if err := checkOutcome(out); err != nil {
		return Job{}, err
	}
	var ring []JobRef
	rec, err := f.updateJob(ctx, ref.JobID, func(r *Record, j *JobRecord) error {
		ring = nil
		if j.isFinishedBy(ref) {
			return nil
		}
		if err := f.hold(j, ref); err != nil {
			return err
		}
		if out.Kind != OutcomeFallback {
			f.setStrategy(r, j, out.Strategy)
		}
		j.report(out.Report)
		if j.Job.Release != nil {
			j.Job.Release.Report = j.Job.Report
		}
		if err := f.end(r, j, out); err != nil {
			return err
		}
		if j.Job.State == Queued {
			ring = []JobRef{{JobID: j.Job.ID, BuildID: r.Build.ID, Platform: j.Job.Platform}}
		}
		return nil
	})
	if err != nil {
		return Job{}, err
	}
	j := rec.find(ref.JobID).Job
	f.log().InfoContext(ctx, "job finished", "build", rec.Build.ID, "job", j.ID, "module", rec.Build.Module.String(),
		"platform", j.Platform.String(), "outcome", string(out.Kind), "state", string(j.State), "reason", j.Reason)
	f.ring(ctx, ring)
	f.notifyEnded(ctx, rec)
	if len(rec.in(Publishing)) == 0 {
		return j, nil
	}
	if err := f.publishBuild(ctx, rec.Build.ID); err != nil {
		return Job{}, err
	}
	j, _, err = f.Job(ctx, ref.JobID)
	return j, err
}

func checkOutcome(out Outcome) error {
	switch out.Kind {
	case OutcomeDone, OutcomeReturned:
		return nil
	case OutcomeFailed, OutcomeRefused, OutcomeFault, OutcomeFallback:
		if out.Reason != "" {
			return nil
		}
		return module.Faults{{Path: "outcome.reason", Problem: "missing", Advice: "say the cause and the next step"}}
	}
	return module.Faults{{
		Path: "outcome.kind", Value: string(out.Kind), Problem: "not a kind of outcome",
		Advice: "use done, failed, refused, fault, fallback or returned",
	}}
}

// isFinishedBy says that Finish was called under this lease before.
func (j *JobRecord) isFinishedBy(ref LeaseRef) bool {
	if j.hasLease(ref) {
		return j.Job.State != Running && j.Job.State != Queued
	}
	return j.LeaseHash == given+hashToken(ref.Token)
}

// end applies an outcome to a running job.
func (f *Farm) end(r *Record, j *JobRecord, out Outcome) error {
	now := f.now()
	if j.Job.CancelRequested {
		return j.move(Cancelled, r.stopped(), now)
	}
	switch out.Kind {
	case OutcomeFailed:
		return j.move(Failed, out.Reason, now)
	case OutcomeRefused:
		return j.move(Refused, out.Reason, now)
	case OutcomeFault:
		j.LeaseHash, j.AvoidUntil = given+j.LeaseHash, now.Add(avoidFor)
		return j.retry(fmt.Sprintf("worker %s could not go on: %s", j.Job.Worker, out.Reason), now)
	case OutcomeFallback:
		return f.fallBack(r, j, out, now)
	case OutcomeReturned:
		j.LeaseHash = given + j.LeaseHash
		j.Job.Attempt--
		return j.requeue(fmt.Sprintf("worker %s stopped and gave the job back", j.Job.Worker), now)
	}
	if r.Build.Version.IsZero() {
		return j.move(Built, "", now)
	}
	if j.Job.Release == nil {
		return module.Faults{{
			Path: "outcome", Value: string(out.Kind), Problem: "no archive was uploaded for this job",
			Advice: "upload the archive under the lease, then finish",
		}}
	}
	if r.Build.Publish == module.PublishAll {
		return j.move(Waiting, "ready; "+r.Build.together()+", so it waits for the other platforms of its build", now)
	}
	j.LeaseUntil = now.Add(LeaseTTL)
	return j.move(Publishing, "", now)
}

// fallBack queues the job for another strategy, where it may have another.
func (f *Farm) fallBack(r *Record, j *JobRecord, out Outcome, now time.Time) error {
	s := out.Strategy
	if s == module.StrategyAuto {
		s = j.Job.Strategy
	}
	if s == module.StrategyAuto {
		return module.Faults{{Path: "outcome.strategy", Problem: "missing", Advice: "name the strategy that does not work"}}
	}
	if j.Pin != module.StrategyAuto {
		return j.move(Failed, fmt.Sprintf("%s; modfarm.yaml allows only %s for %s: remove that line or set qemu",
			out.Reason, j.Pin, j.Job.Platform), now)
	}
	f.remember(r, j, s)
	j.LeaseHash = given + j.LeaseHash
	j.Job.Attempt--
	return j.requeue(fmt.Sprintf("%s does not work for this module: %s", s, out.Reason), now)
}

// retry queues the job again after a fault that was not the build's own, as often as MaxAttempts allows.
func (j *JobRecord) retry(reason string, now time.Time) error {
	if j.Job.Attempt < MaxAttempts {
		return j.requeue(fmt.Sprintf("%s (attempt %d of %d)", reason, j.Job.Attempt, MaxAttempts), now)
	}
	return j.move(Failed, fmt.Sprintf("%s; that was attempt %d of %d: look at that worker's machine, then start the build again",
		reason, j.Job.Attempt, MaxAttempts), now)
}

// requeue makes the job claimable.
func (j *JobRecord) requeue(reason string, now time.Time) error {
	j.Job.Step = ""
	return j.move(Queued, reason, now)
}

// together applies the rule of `publish: all`: the archives that wait are published when no other job is left, and
// fail when one of the others did.
func (r *Record) together(now time.Time) error {
	waiting := r.in(Waiting)
	if r.Build.Publish != module.PublishAll || len(waiting) == 0 {
		return nil
	}
	culprit := r.culprit()
	left := slices.ContainsFunc(r.Jobs, func(j *JobRecord) bool {
		return j.Job.State != Waiting && j.Job.State != Published
	})
	for _, j := range waiting {
		if culprit != nil {
			if err := j.move(Failed, blame(r.Build, culprit), now); err != nil {
				return err
			}
			continue
		}
		if left {
			continue
		}
		j.LeaseUntil = now.Add(LeaseTTL)
		if err := j.move(Publishing, "", now); err != nil {
			return err
		}
	}
	return nil
}

// culprit is the first job of the build that went wrong by itself, or nil.
func (r *Record) culprit() *JobRecord {
	var first *JobRecord
	for _, j := range r.Jobs {
		if !j.Job.State.Terminal() || j.Job.State.Done() || strings.HasPrefix(j.Job.Reason, blamed) {
			continue
		}
		if first == nil || j.Job.EndedAt.Before(first.Job.EndedAt) {
			first = j
		}
	}
	return first
}

// blamed begins the reason of jobs that went wrong only because another one did.
const blamed = "built, but not published, because "

// blame says why a good archive of a build that publishes all together is not published.
func blame(b Build, culprit *JobRecord) string {
	return blamed + fmt.Sprintf("%s %s and %s; correct %s and build again",
		culprit.Job.Platform, verb(culprit.Job.State), b.together(), culprit.Job.Platform)
}

// together names who wants that the build publishes all platforms together.
func (b Build) together() string {
	if b.AskedPublish == module.PublishAll {
		return "the build was started with publish: all"
	}
	return "modfarm.yaml says publish: all"
}

func verb(s JobState) string {
	if s == Failed {
		return "failed"
	}
	return "was " + string(s)
}
