package client

import (
	"context"
	"time"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// Standing is a worker as its farm knows it. Its JSON is what 'modfarm worker list --json' prints.
type Standing struct {
	Worker
	// Running is how many jobs it has.
	Running int `json:"running"`
	// SeenAt is when the farm last heard of it; zero for not since it started.
	SeenAt time.Time `json:"seen_at,omitzero"`
	// DrainedAt is since when it gets no jobs because somebody said so; zero when nobody did. A worker that stops by
	// itself is Draining without it.
	DrainedAt time.Time `json:"drained_at,omitzero"`
}

// Workers lists the workers of a farm that it heard of in the last minute, that have jobs, or that are drained, by
// name. It takes the worker token.
func (c *Client) Workers(ctx context.Context) ([]Standing, error) {
	res, err := c.workers.ListWorkers(ctx, &modfarmv1.ListWorkersRequest{})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	var r reader
	list := make([]Standing, 0, len(res.GetWorkers()))
	for _, p := range res.GetWorkers() {
		list = append(list, r.standing(p))
	}
	return list, r.err
}

// DrainWorker has a worker get no more jobs until that is undone; what it builds goes on. It takes the worker token.
func (c *Client) DrainWorker(ctx context.Context, name string, undo bool) error {
	_, err := c.workers.DrainWorker(ctx, &modfarmv1.DrainWorkerRequest{Name: name, Undo: undo})
	if err != nil {
		return c.fromRPC(ctx, err)
	}
	return nil
}

func (r *reader) standing(p *modfarmv1.WorkerStanding) Standing {
	w := p.GetWorker()
	platforms := func(names []string) (list []module.Platform) {
		for _, name := range names {
			list = append(list, parse(r, "a platform", name, module.ParsePlatform))
		}
		return list
	}
	return Standing{
		Worker: Worker{
			Name: w.GetName(), Native: platforms(w.GetNative()), Cross: platforms(w.GetCross()), QEMU: platforms(w.GetQemu()),
			Memory: w.GetMemoryTotal(), MemoryFree: w.GetMemoryFree(), Slots: int(w.GetSlots()), SlotsFree: int(w.GetSlotsFree()),
			Labels: w.GetLabels(), Draining: w.GetDraining(),
		},
		Running: int(p.GetRunning()), SeenAt: moment(p.GetSeenAt()), DrainedAt: moment(p.GetDrainedAt()),
	}
}
