package farm

import (
	"context"
	"maps"
	"time"
)

// resolveHeld is how long a build is one process's to resolve without being kept: several processes over one database
// leave each other's builds alone, and go on with those of a process that ended. The process that took a submission
// has it from the start, so that nothing has to be written before the repository is read.
const resolveHeld = 6 * time.Second

// resolveLease is until when a build is whose process takes it now, as exactly as it is stored.
func resolveLease(now time.Time) time.Time { return now.Add(resolveHeld).Truncate(time.Millisecond) }

// resolveOwn has a build that was submitted here resolved at once.
func (f *Farm) resolveOwn(rec *Record) {
	f.mu.Lock()
	f.submitted[rec.Build.ID] = rec.ResolveAfter
	f.mu.Unlock()
	f.hurry()
}

// ownToResolve are the builds that were submitted here and not begun yet, and until when they are this process's.
func (f *Farm) ownToResolve() map[string]time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.submitted)
}

// takeResolving returns a build that is this process's to resolve, and nil when there is nothing to do or another
// process has it.
func (f *Farm) takeResolving(ctx context.Context, buildID string, until time.Time) (*Record, error) {
	now := f.now()
	if until.After(now) {
		rec, err := f.Store.Record(ctx, buildID)
		if err != nil || len(rec.in(Resolving)) == 0 || !rec.ResolveAfter.Equal(until) {
			return nil, err
		}
		return rec, nil
	}
	taken := false
	rec, err := f.update(ctx, buildID, func(r *Record) error {
		if taken = len(r.in(Resolving)) > 0 && !r.ResolveAfter.After(now); taken {
			r.ResolveAfter = resolveLease(now)
		}
		return nil
	})
	if err != nil || !taken {
		return nil, err
	}
	return rec, nil
}

// keepResolving keeps a build this process's until ctx ends.
func (f *Farm) keepResolving(ctx context.Context, buildID string) {
	ticker := time.NewTicker(resolveHeld / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, err := f.update(ctx, buildID, func(r *Record) error {
			if len(r.in(Resolving)) > 0 {
				r.ResolveAfter = resolveLease(f.now())
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			f.log().WarnContext(ctx, "a build that is being resolved is not kept from other processes", "build", buildID, "error", err)
		}
	}
}
