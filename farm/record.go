package farm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/modfarm/modfarm/module"
)

// Record is a build as it is stored: what everybody may see, and what only the farm does.
type Record struct {
	// Build is the public part; its Jobs are empty, see Jobs.
	Build Build
	// Jobs are sorted by platform.
	Jobs []*JobRecord
	// Token is the sealed checkout token; nil when there is none or the build ended.
	Token []byte
	// HadToken says that there was one.
	HadToken bool
	// ResolveAfter is when the build may be resolved (again); ResolveTries counts the failures so far.
	ResolveAfter time.Time
	ResolveTries int
	// NewFailed are strategies to remember for the module; a store adds them and never fills this in.
	NewFailed []FailedStrategy
}

// JobRecord is a job as it is stored.
type JobRecord struct {
	// Job is the public part.
	Job Job
	// OrgID is the build's organization: shares are counted by it.
	OrgID string
	// Pin is the one strategy that modfarm.yaml allows; empty for any.
	Pin module.Strategy
	// LeaseHash is the SHA-256 of the lease token that was given last, in hex; empty for none.
	LeaseHash string
	// LeaseUntil is when the lease runs out, by the farm's clock.
	LeaseUntil time.Time
	// AvoidUntil is how long it is kept from Job.Worker, whose machine failed it, where others could build it; zero for
	// not.
	AvoidUntil time.Time
	// RungAt is when workers were last rung for it.
	RungAt time.Time
	// NewLog are chunks to append; a store adds them and never fills this in.
	NewLog []LogChunk
}

// resultStep is the step name of the farm's own lines in a log.
const resultStep = "Result"

// find returns the job with the id, or nil.
func (r *Record) find(jobID string) *JobRecord {
	for _, j := range r.Jobs {
		if j.Job.ID == jobID {
			return j
		}
	}
	return nil
}

// in returns the jobs in a state.
func (r *Record) in(state JobState) []*JobRecord {
	var jobs []*JobRecord
	for _, j := range r.Jobs {
		if j.Job.State == state {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// move takes one step of the table. Ends are stamped, and those that are not done get a last log line which says
// which and why, because foreign clients only see FAILED.
func (j *JobRecord) move(to JobState, reason string, now time.Time) error {
	if err := step(j.Job.State, to); err != nil {
		return fmt.Errorf("job %s: %w", j.Job.ID, err)
	}
	j.Job.State, j.Job.Reason = to, oneLine(reason)
	if to == Queued {
		j.Job.QueuedAt, j.RungAt = now, now
	}
	if !to.Terminal() {
		return nil
	}
	j.Job.EndedAt = now
	if !to.Done() {
		j.write(resultStep, fmt.Sprintf("%s %s: %s\n", j.Job.Platform, to, j.Job.Reason))
	}
	return nil
}

// write appends a line of the farm's own to the job's log.
func (j *JobRecord) write(step, text string) {
	j.NewLog = append(j.NewLog, LogChunk{Offset: j.Job.LogSize, Step: step, Data: []byte(text)})
	j.Job.LogSize += int64(len(text))
}

// close ends the build when its last job ended: the checkout token is not needed any more.
func (r *Record) close(now time.Time) {
	if !r.Build.EndedAt.IsZero() || slices.ContainsFunc(r.Jobs, func(j *JobRecord) bool { return !j.Job.State.Terminal() }) {
		return
	}
	r.Build.EndedAt, r.Token = now, nil
}

// update runs fn on a build under its lock, then the rules that hold for the build as a whole.
func (f *Farm) update(ctx context.Context, buildID string, fn func(*Record) error) (*Record, error) {
	var got *Record
	var running []string
	err := f.Store.Update(ctx, buildID, func(r *Record) error {
		if err := fn(r); err != nil {
			return err
		}
		if err := r.together(f.now()); err != nil {
			return err
		}
		var err error
		if running, err = r.failFast(f.now()); err != nil {
			return err
		}
		r.close(f.now())
		got = r
		return nil
	})
	if err == nil {
		f.tellCancelled(ctx, running)
	}
	return got, err
}

// updateJob is update for the build of a job.
func (f *Farm) updateJob(ctx context.Context, jobID string, fn func(*Record, *JobRecord) error) (*Record, error) {
	buildID, err := f.Store.BuildOf(ctx, jobID)
	if err != nil {
		return nil, describeMissing(err, "job", jobID)
	}
	return f.update(ctx, buildID, func(r *Record) error {
		j := r.find(jobID)
		if j == nil {
			return describeMissing(module.ErrNotFound, "job", jobID)
		}
		return fn(r, j)
	})
}

// describeMissing says what was not found; other errors pass.
func describeMissing(err error, what, id string) error {
	if !errors.Is(err, module.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: no %s has the id %q; list the builds to find the right one", module.ErrNotFound, what, id)
}

// commands are what a terminal takes for commands: colours, titles, cursor movements. Sentences quote the words of
// strangers, such as a script's last line or a repository's error.
var commands = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)?|\x1b[ -/]*[0-~]?")

// oneLine makes one sentence of an error that has several lines, without anything that a terminal would obey.
func oneLine(s string) string {
	s = commands.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "")
	lines := strings.FieldsFunc(strings.TrimSpace(s), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.Join(lines, "; "))
}
