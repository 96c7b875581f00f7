package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// ListWorkers lists the workers that the farm knows of.
func (s workerService) ListWorkers(ctx context.Context, _ *modfarmv1.ListWorkersRequest) (*modfarmv1.ListWorkersResponse, error) {
	list, err := s.farm.Workers(ctx)
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListWorkersResponse{}
	for _, w := range list {
		res.Workers = append(res.Workers, standingTo(w))
	}
	return res, nil
}

// DrainWorker has a worker get no more jobs, or lets it get some again.
func (s workerService) DrainWorker(ctx context.Context, req *modfarmv1.DrainWorkerRequest) (*modfarmv1.DrainWorkerResponse, error) {
	set := s.farm.Drain
	if req.GetUndo() {
		set = s.farm.Undrain
	}
	return &modfarmv1.DrainWorkerResponse{}, set(ctx, req.GetName())
}

func standingTo(s farm.Standing) *modfarmv1.WorkerStanding {
	const most = 1 << 20
	when := func(t time.Time) *timestamppb.Timestamp {
		if t.IsZero() {
			return nil
		}
		return timestamppb.New(t)
	}
	names := func(platforms []module.Platform) (list []string) {
		for _, p := range platforms {
			list = append(list, p.String())
		}
		return list
	}
	return &modfarmv1.WorkerStanding{
		Worker: &modfarmv1.Worker{
			Name: s.Name, Native: names(s.Native), Cross: names(s.Cross), Qemu: names(s.QEMU), MemoryTotal: s.Memory, MemoryFree: s.MemoryFree,
			Slots: int32(min(s.Slots, most)), SlotsFree: int32(min(s.SlotsFree, most)), Labels: s.Labels, Draining: s.Draining, //nolint:gosec // bounded
		},
		Running: int32(min(s.Running, most)), SeenAt: when(s.SeenAt), DrainedAt: when(s.DrainedAt), //nolint:gosec // bounded
	}
}
