package farm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// publishTimeout bounds one round of publishing.
	publishTimeout = time.Minute
	// publishFor is how long after its last worker took it up a job may wait for a registry that does not answer.
	publishFor = 24 * time.Hour
)

// verdict is what became of one job's archive.
type verdict struct {
	state   JobState
	reason  string
	release *module.Release
}

// publishBuild hands the build's archives that are to be published to the registry: one by one, or all in one call.
// It may be called any number of times, by several processes too, and goes on where the last call stopped.
func (f *Farm) publishBuild(ctx context.Context, buildID string) error {
	// A caller that hung up must not leave an archive half way; the sweep would take it up, but later.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	rec, err := f.Store.Record(ctx, buildID)
	if err != nil {
		return err
	}
	jobs := rec.in(Publishing)
	if rec.Build.Publish == module.PublishAll && len(jobs) > 0 {
		return f.publishGroup(ctx, rec.Build, jobs)
	}
	var errs error
	for _, j := range jobs {
		errs = errors.Join(errs, f.publishGroup(ctx, rec.Build, []*JobRecord{j}))
	}
	return errs
}

// publishGroup publishes the archives of jobs in one call, and writes down what became of them.
func (f *Farm) publishGroup(ctx context.Context, b Build, jobs []*JobRecord) error {
	var verdicts map[string]verdict
	err := module.ErrConflict
	for try := 0; try < 2 && errors.Is(err, module.ErrConflict); try++ { // again: somebody else may have been faster
		var existing map[module.Platform]module.Release
		if existing, err = f.releases(ctx, b); err != nil {
			break
		}
		var fresh []module.Release
		if verdicts, fresh = judge(b, jobs, existing); len(fresh) == 0 {
			err = nil
			break
		}
		err = f.Publisher.Publish(ctx, fresh)
	}
	switch {
	case err == nil:
	case errors.Is(err, module.ErrConflict), final(err):
		verdicts = refuseAll(jobs, err)
	default:
		return f.publishLater(ctx, b.ID, err)
	}
	after, err := f.update(ctx, b.ID, func(r *Record) error { return f.apply(r, verdicts) })
	if err != nil {
		return err
	}
	for id, v := range verdicts {
		f.log().InfoContext(ctx, "archive judged", "build", b.ID, "job", id, "module", b.Module.String(),
			"version", b.Version.String(), "state", string(v.state), "reason", v.reason)
	}
	f.notifyEnded(ctx, after)
	return nil
}

// judge sorts archives into those that are new, and those whose release exists: taken over when it is of the same
// commit, refused otherwise. One refusal in a group refuses the group.
func judge(b Build, jobs []*JobRecord, existing map[module.Platform]module.Release) (map[string]verdict, []module.Release) {
	verdicts := map[string]verdict{}
	var fresh []module.Release
	var culprit *JobRecord
	for _, j := range jobs {
		digest := ""
		if j.Job.Release != nil {
			digest = j.Job.Release.SHA256
		}
		rel, reason := taken(b, j.Job.Platform, digest, existing)
		switch {
		case reason != "":
			verdicts[j.Job.ID] = verdict{state: Refused, reason: reason}
			culprit = &JobRecord{Job: Job{Platform: j.Job.Platform, State: Refused}}
		case rel != nil:
			verdicts[j.Job.ID] = verdict{state: Published, release: rel}
		case j.Job.Release == nil:
			verdicts[j.Job.ID] = verdict{state: Failed, reason: "its archive is gone; start the build again"}
			culprit = &JobRecord{Job: Job{Platform: j.Job.Platform, State: Failed}}
		default:
			verdicts[j.Job.ID] = verdict{state: Published, release: j.Job.Release}
			fresh = append(fresh, *j.Job.Release)
		}
	}
	if culprit == nil {
		return verdicts, fresh
	}
	for id, v := range verdicts {
		if v.state == Published && v.release.BuildID == b.ID {
			verdicts[id] = verdict{state: Failed, reason: blame(b, culprit)}
		}
	}
	return verdicts, nil
}

func refuseAll(jobs []*JobRecord, err error) map[string]verdict {
	verdicts := map[string]verdict{}
	for _, j := range jobs {
		verdicts[j.Job.ID] = verdict{state: Refused, reason: err.Error()}
	}
	return verdicts
}

// apply writes verdicts to the jobs that still wait for one.
func (f *Farm) apply(r *Record, verdicts map[string]verdict) error {
	now := f.now()
	for _, j := range r.in(Publishing) {
		v, ok := verdicts[j.Job.ID]
		if !ok {
			continue
		}
		if v.release != nil {
			rel := *v.release
			if rel.PublishedAt.IsZero() {
				rel.PublishedAt = now
			}
			j.Job.Release, j.Job.Strategy = &rel, rel.Strategy
		}
		if err := j.move(v.state, v.reason, now); err != nil {
			return err
		}
	}
	return nil
}

// publishLater leaves the jobs in publishing, for the sweep to take up one lease later.
func (f *Farm) publishLater(ctx context.Context, buildID string, cause error) error {
	_, err := f.update(ctx, buildID, func(r *Record) error {
		now := f.now()
		for _, j := range r.in(Publishing) {
			if now.Sub(j.Job.StartedAt) >= publishFor {
				text := fmt.Sprintf("the registry did not take the archive for %s; mend it, then retry the job: %v", publishFor, cause)
				if err := j.move(Failed, text, now); err != nil {
					return err
				}
				continue
			}
			j.LeaseUntil = now.Add(LeaseTTL)
			j.Job.Reason = oneLine(fmt.Sprintf("the registry did not take the archive, next try in %s: %v", LeaseTTL, cause))
		}
		return nil
	})
	return errors.Join(fmt.Errorf("publish build %s: %w", buildID, cause), err)
}

// releases returns what exists of the build's version, for all platforms.
func (f *Farm) releases(ctx context.Context, b Build) (map[module.Platform]module.Release, error) {
	if b.Version.IsZero() {
		return nil, nil
	}
	found := map[module.Platform]module.Release{}
	for _, p := range module.Platforms() {
		rel, err := f.Publisher.Find(ctx, b.Module, b.Version, p)
		if errors.Is(err, module.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[p] = rel
	}
	return found, nil
}

// taken holds a platform of a build against the releases of its version. The result is the release that makes
// building or publishing it unnecessary, or the reason why it is refused, or neither. A version never changes, and
// never mixes commits.
func taken(b Build, p module.Platform, digest string, existing map[module.Platform]module.Release) (*module.Release, string) {
	if rel, ok := existing[p]; ok && (rel.Commit == b.Commit || (rel.Commit == "" && rel.SHA256 == digest)) {
		return &rel, ""
	}
	for _, other := range module.Platforms() {
		rel, ok := existing[other]
		if !ok || rel.Commit == "" || rel.Commit == b.Commit {
			continue
		}
		return nil, fmt.Sprintf("version %s of %s is published from %s, and %s; a published version never changes, so "+
			"give this a new version", b.Version, b.Module, origin(rel), b.moved())
	}
	if _, ok := existing[p]; ok {
		return nil, fmt.Sprintf("version %s of %s for %s was uploaded by hand with other contents; a published version never "+
			"changes, so give this a new version", b.Version, b.Module, p)
	}
	return nil, ""
}
