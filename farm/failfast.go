package farm

import (
	"fmt"
	"strings"
	"time"
)

// failFast applies the rule of a build that fails fast: when one platform failed or was refused, what no worker holds
// ends at once, and the workers of the rest are told to stop. It returns the jobs of those workers. What is being
// published is not stopped, and what somebody cancelled stops nothing else.
func (r *Record) failFast(now time.Time) (running []string, err error) {
	if r.failure() == nil {
		return nil, nil
	}
	for _, j := range r.Jobs {
		switch j.Job.State {
		case Resolving, Queued, Waiting:
			if err := j.move(Cancelled, r.stopped(), now); err != nil {
				return nil, err
			}
			j.LeaseHash = ""
		case Running:
			if !j.Job.CancelRequested {
				j.Job.CancelRequested = true
				running = append(running, j.Job.ID)
			}
		}
	}
	return running, nil
}

// failure is the first platform of a build that fails fast which went wrong by itself, or nil.
func (r *Record) failure() *JobRecord {
	if !r.Build.FailFast {
		return nil
	}
	var first *JobRecord
	for _, j := range r.Jobs {
		if j.Job.State != Failed && j.Job.State != Refused || strings.HasPrefix(j.Job.Reason, blamed) {
			continue
		}
		if first == nil || j.Job.EndedAt.Before(first.Job.EndedAt) {
			first = j
		}
	}
	return first
}

// stopped is why a job of the build that is to stop was stopped.
func (r *Record) stopped() string {
	if culprit := r.failure(); culprit != nil {
		return fmt.Sprintf("%s %s and fail-fast is on; correct %s, then build again or retry",
			culprit.Job.Platform, verb(culprit.Job.State), culprit.Job.Platform)
	}
	return cancelled
}
