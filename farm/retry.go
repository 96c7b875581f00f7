package farm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Retry asks for jobs that went wrong to be built again.
type Retry struct {
	// BuildID is their build.
	BuildID string
	// Platform is the one to build again; zero for all that did not succeed.
	Platform module.Platform
	// Token reads the repository. A build that was started with one needs one again: the farm forgot it at its end.
	Token string
	// RequestedBy names who asks, for people.
	RequestedBy string
}

// Retry builds one platform of a build again, or all that went wrong: as the same jobs, from the same commit, with new
// attempts. A job's log goes on where it was, behind a line that says so. Of a build that publishes all together, or
// that fails fast, everything that went wrong is built again, because one that is left would end the others. What is under way or
// succeeded is module.ErrConflict, and so is what would be refused again; a checkout token that is missing is
// module.ErrInvalid, uploaded source that is not kept any more module.ErrNotFound.
func (f *Farm) Retry(ctx context.Context, ask Retry) (Build, error) {
	f.setup()
	var sealed []byte
	if ask.Token != "" {
		var err error
		if sealed, err = f.Sealer.Seal([]byte(ask.Token)); err != nil {
			return Build{}, fmt.Errorf("seal checkout token: %w", err)
		}
	}
	existing, err := f.published(ctx, ask)
	if err != nil {
		return Build{}, err
	}
	var ring []JobRef
	rec, err := f.update(ctx, ask.BuildID, func(r *Record) error {
		ring = ring[:0]
		jobs, err := r.retriable(ask.Platform)
		if err != nil {
			return err
		}
		if jobs, err = r.promising(jobs, existing); err != nil {
			return err
		}
		if sealed != nil {
			r.Token, r.HadToken = sealed, true
		}
		if r.HadToken && r.Token == nil {
			return module.Faults{{
				Path: "token", Problem: "missing: the build was started with a checkout token, which the farm forgot when the build ended",
				Advice: "give the token again",
			}}
		}
		r.Build.EndedAt, r.ResolveAfter, r.ResolveTries = time.Time{}, f.now(), 0
		for _, j := range jobs {
			j.again(r.Build, ask.RequestedBy, f.now())
			if j.Job.State == Queued {
				ring = append(ring, JobRef{JobID: j.Job.ID, BuildID: r.Build.ID, Platform: j.Job.Platform})
			}
		}
		return nil
	})
	if err != nil {
		return Build{}, describeMissing(err, "build", ask.BuildID)
	}
	f.log().InfoContext(ctx, "retried", "build", ask.BuildID, "platform", ask.Platform.String(), "by", ask.RequestedBy)
	f.ring(ctx, ring)
	f.hurry()
	return f.view(ctx, rec)
}

// retriable are the jobs that a retry of a platform, or of all with the zero platform, builds again.
func (r *Record) retriable(p module.Platform) ([]*JobRecord, error) {
	var wrong []*JobRecord
	for _, j := range r.Jobs {
		if j.Job.State.Terminal() && !j.Job.State.Done() {
			wrong = append(wrong, j)
		}
	}
	if !p.IsZero() {
		i := slices.IndexFunc(r.Jobs, func(j *JobRecord) bool { return j.Job.Platform == p })
		if i < 0 {
			return nil, fmt.Errorf("%w: build %s has no platform %s", module.ErrNotFound, r.Build.ID, p)
		}
		j := r.Jobs[i]
		switch {
		case j.Job.State == Published:
			return nil, fmt.Errorf("%w: %s is published, and a published version never changes; build a new version", module.ErrConflict, p)
		case j.Job.State == Built:
			return nil, fmt.Errorf("%w: %s was built; start a new build to build it once more", module.ErrConflict, p)
		case !j.Job.State.Terminal():
			return nil, fmt.Errorf("%w: %s is %s; wait for its end, or cancel it first", module.ErrConflict, p, j.Job.State)
		case !r.Build.allOrNothing():
			wrong = []*JobRecord{j}
		}
	}
	if len(wrong) == 0 {
		return nil, fmt.Errorf("%w: nothing of build %s went wrong; start a new build to build it once more", module.ErrConflict, r.Build.ID)
	}
	return wrong, nil
}

// allOrNothing says that one platform which goes wrong takes others along.
func (b Build) allOrNothing() bool { return b.Publish == module.PublishAll || b.FailFast }

// published is what exists of the version of a build that has something to retry, and the source for it.
func (f *Farm) published(ctx context.Context, ask Retry) (map[module.Platform]module.Release, error) {
	rec, err := f.Store.Record(ctx, ask.BuildID)
	if err != nil {
		return nil, describeMissing(err, "build", ask.BuildID)
	}
	if _, err := rec.retriable(ask.Platform); err != nil {
		return nil, err
	}
	if err := f.keepSource(ctx, rec.Build); err != nil {
		return nil, err
	}
	return f.releases(ctx, rec.Build)
}

// promising leaves out the jobs that would be refused again. When none is left, or the build publishes all together, that
// is module.ErrConflict.
func (r *Record) promising(jobs []*JobRecord, existing map[module.Platform]module.Release) ([]*JobRecord, error) {
	var hopeful []*JobRecord
	var hopeless error
	for _, j := range jobs {
		if reason := r.hopeless(j, existing); reason != "" {
			hopeless = fmt.Errorf("%w: %s would be refused again: %s", module.ErrConflict, j.Job.Platform, reason)
			continue
		}
		hopeful = append(hopeful, j)
	}
	if hopeless != nil && (len(hopeful) == 0 || r.Build.allOrNothing()) {
		return nil, hopeless
	}
	return hopeful, nil
}

// hopeless is why a refused job would be refused again: its version is published from something else, or what its
// commit says is wrong. Empty is for what may go otherwise this time.
func (r *Record) hopeless(j *JobRecord, existing map[module.Platform]module.Release) string {
	switch {
	case j.Job.State != Refused || r.Build.Commit == "":
		return ""
	case r.Build.Manifest == nil:
		return j.Job.Reason + "; a retry is of the same commit, so correct it and start a new build"
	}
	_, reason := taken(r.Build, j.Job.Platform, "", existing)
	return reason
}

// again puts a job that ended back to where it can go on: to its workers, or to resolving when its commit was not
// read yet. It is not a step of the table, as only a person may ask for it.
func (j *JobRecord) again(b Build, by string, now time.Time) {
	was := j.Job.State
	j.Job.State, j.Job.QueuedAt, j.RungAt = Queued, now, now
	if b.Manifest == nil {
		j.Job.State = Resolving
	}
	j.Job.Reason, j.Job.Step, j.Job.Attempt, j.Job.CancelRequested = "", "", 0, false
	j.Job.EndedAt, j.Job.Release, j.Job.Report, j.LeaseHash = time.Time{}, nil, nil, ""
	j.AvoidUntil = time.Time{}
	j.write("Retry", strings.TrimSpace(fmt.Sprintf("%s was %s; built again on request of %s", j.Job.Platform, was, by))+"\n")
}
