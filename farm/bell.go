package farm

import (
	"context"
	"errors"
	"time"
)

const (
	// bellTimeout bounds one use of the bell.
	bellTimeout = 5 * time.Second
	// deafFor is how long a bell that failed is left alone, so that a Redis which is away does not slow down
	// everything else: workers and readers poll meanwhile.
	deafFor = 2 * time.Second
)

// useBell calls fn with the bell, unless there is none or it failed a moment ago. A bell that does not work is never
// a fault of what it rings for.
func (f *Farm) useBell(ctx context.Context, what string, fn func(context.Context, Bell) error) {
	if f.Bell == nil || f.isDeaf() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bellTimeout)
	defer cancel()
	err := fn(ctx, f.Bell)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) { // the caller left: that says nothing about the bell
		return
	}
	switch was := f.hear(err == nil); {
	case err != nil && was:
		f.log().WarnContext(ctx, "Redis does not answer; workers and readers ask by themselves meanwhile", "for", what, "error", err)
	case err == nil && !was:
		f.log().InfoContext(ctx, "Redis answers again")
	}
}

// hear notes whether the bell works, and returns whether it did before.
func (f *Farm) hear(works bool) (did bool) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	did = f.deaf.IsZero()
	f.deaf = time.Time{}
	if !works {
		f.deaf = now.Add(deafFor)
	}
	return did
}

func (f *Farm) isDeaf() bool {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.deaf)
}

// ring wakes workers for jobs. The sweep rings again for those that nobody claims.
func (f *Farm) ring(ctx context.Context, jobs []JobRef) {
	for _, ref := range jobs {
		f.useBell(ctx, "ring", func(ctx context.Context, b Bell) error { return b.Ring(ctx, ref.Platform, ref.JobID) })
	}
}

// tellCancelled wakes the workers of cancelled jobs; those it does not reach learn it when they extend their lease.
func (f *Farm) tellCancelled(ctx context.Context, jobIDs []string) {
	for _, id := range jobIDs {
		f.useBell(ctx, "cancel", func(ctx context.Context, b Bell) error { return b.Cancel(ctx, id) })
	}
}

// notifyLog wakes the readers of a job's log; they also look every second.
func (f *Farm) notifyLog(ctx context.Context, jobID string) {
	f.wakeTail(jobID)
	f.ringLog(ctx, jobID)
}

// ringLog wakes the readers in other processes.
func (f *Farm) ringLog(ctx context.Context, jobID string) {
	f.useBell(ctx, "notify", func(ctx context.Context, b Bell) error { return b.NotifyLog(ctx, jobID) })
}

// notifyEnded wakes the readers of logs of jobs that ended.
func (f *Farm) notifyEnded(ctx context.Context, rec *Record) {
	for _, j := range rec.Jobs {
		if j.Job.State.Terminal() {
			f.notifyLog(ctx, j.Job.ID)
		}
	}
}
