package farm

import (
	"context"
	"errors"
	"fmt"

	"github.com/modfarm/modfarm/module"
)

// cancelled is the reason of what somebody asked to stop.
const cancelled = "cancelled on request; retry it if that was a mistake"

// Cancel stops a build, or one job of it: what no worker holds ends at once, and the workers of the rest are told to
// stop. Archives that are being published are not stopped. An unknown id is module.ErrNotFound; when all jobs ended
// before, module.ErrConflict.
func (f *Farm) Cancel(ctx context.Context, id string) error {
	f.setup()
	buildID, jobID := id, ""
	if owner, err := f.Store.BuildOf(ctx, id); err == nil {
		buildID, jobID = owner, id
	} else if !errors.Is(err, module.ErrNotFound) {
		return err
	}
	var running []string
	rec, err := f.update(ctx, buildID, func(r *Record) error {
		running = running[:0]
		stopped := 0
		for _, j := range r.Jobs {
			if jobID != "" && j.Job.ID != jobID {
				continue
			}
			switch j.Job.State {
			case Resolving, Queued, Waiting:
				if err := j.move(Cancelled, cancelled, f.now()); err != nil {
					return err
				}
				j.LeaseHash = ""
				stopped++
			case Running:
				j.Job.CancelRequested = true
				running = append(running, j.Job.ID)
				stopped++
			}
		}
		if stopped == 0 {
			return fmt.Errorf("%w: nothing of %q is left to cancel; look at its jobs to see how they ended", module.ErrConflict, id)
		}
		return nil
	})
	if err != nil {
		return describeMissing(err, "build or job", id)
	}
	f.log().InfoContext(ctx, "cancelled", "build", buildID, "job", jobID, "running", len(running))
	f.notifyEnded(ctx, rec)
	f.tellCancelled(ctx, running)
	return nil
}
