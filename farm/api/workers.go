package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// workerService hands jobs to workers. Its callers passed workerGate; from Claim on the lease decides.
type workerService struct{ *server }

// Claim gives the worker a job, or nothing.
func (s workerService) Claim(ctx context.Context, req *modfarmv1.ClaimRequest) (*modfarmv1.ClaimResponse, error) {
	w, err := workerFrom(req.GetWorker())
	if err != nil {
		return nil, err
	}
	w.NextLease = req.GetLeaseToken()
	a, err := s.farm.Claim(ctx, w)
	if err != nil || a == nil {
		return &modfarmv1.ClaimResponse{}, err
	}
	out, err := assignmentTo(a)
	if err != nil {
		return nil, err
	}
	return &modfarmv1.ClaimResponse{Assignment: out}, nil
}

// Resume gives a restarted worker the job that it still holds.
func (s workerService) Resume(ctx context.Context, req *modfarmv1.ResumeRequest) (*modfarmv1.ResumeResponse, error) {
	w, err := workerFrom(req.GetWorker())
	if err != nil {
		return nil, err
	}
	a, err := s.farm.Resume(ctx, w, leaseFrom(req.GetLease()))
	if err != nil {
		return nil, err
	}
	out, err := assignmentTo(a)
	if err != nil {
		return nil, err
	}
	return &modfarmv1.ResumeResponse{Assignment: out}, nil
}

// Extend keeps a lease.
func (s workerService) Extend(ctx context.Context, req *modfarmv1.ExtendRequest) (*modfarmv1.ExtendResponse, error) {
	strategy, err := module.ParseStrategy(req.GetStrategy())
	if err != nil {
		return nil, at("strategy", err)
	}
	d, err := s.farm.Extend(ctx, leaseFrom(req.GetLease()), farm.Progress{
		Step: req.GetStep(), Strategy: strategy, Report: reportFrom(req.GetReport()),
	})
	if err != nil {
		return nil, err
	}
	return &modfarmv1.ExtendResponse{Cancel: d.Cancel, Ttl: durationpb.New(d.TTL)}, nil
}

// AppendLog stores a piece of a log.
func (s workerService) AppendLog(ctx context.Context, req *modfarmv1.AppendLogRequest) (*modfarmv1.AppendLogResponse, error) {
	c := req.GetChunk()
	next, err := s.farm.AppendLog(ctx, leaseFrom(req.GetLease()), farm.LogChunk{Offset: c.GetOffset(), Step: c.GetStep(), Data: c.GetData()})
	switch {
	case errors.Is(err, module.ErrConflict) && !errors.Is(err, farm.ErrLeaseLost):
		return nil, gapError{error: err, next: next}
	case err != nil:
		return nil, err
	}
	return &modfarmv1.AppendLogResponse{Next: next}, nil
}

// gapError is a log chunk that begins behind the end of the log, with where that is.
type gapError struct {
	error
	next int64
}

// Unwrap is the farm's error.
func (g gapError) Unwrap() error { return g.error }

// Finish ends an attempt.
func (s workerService) Finish(ctx context.Context, req *modfarmv1.FinishRequest) (*modfarmv1.FinishResponse, error) {
	kind, err := outcomeFrom(req.GetKind())
	if err != nil {
		return nil, err
	}
	strategy, err := module.ParseStrategy(req.GetStrategy())
	if err != nil {
		return nil, at("strategy", err)
	}
	job, err := s.farm.Finish(ctx, leaseFrom(req.GetLease()), farm.Outcome{
		Kind: kind, Reason: req.GetReason(), Strategy: strategy, Report: reportFrom(req.GetReport()),
	})
	if err != nil {
		return nil, err
	}
	return &modfarmv1.FinishResponse{Job: jobTo(job)}, nil
}

func leaseFrom(p *modfarmv1.LeaseRef) farm.LeaseRef {
	return farm.LeaseRef{JobID: p.GetJobId(), Token: p.GetToken()}
}

func outcomeFrom(k modfarmv1.OutcomeKind) (farm.OutcomeKind, error) {
	switch k {
	case modfarmv1.OutcomeKind_OUTCOME_KIND_DONE:
		return farm.OutcomeDone, nil
	case modfarmv1.OutcomeKind_OUTCOME_KIND_FAILED:
		return farm.OutcomeFailed, nil
	case modfarmv1.OutcomeKind_OUTCOME_KIND_REFUSED:
		return farm.OutcomeRefused, nil
	case modfarmv1.OutcomeKind_OUTCOME_KIND_FAULT:
		return farm.OutcomeFault, nil
	case modfarmv1.OutcomeKind_OUTCOME_KIND_FALLBACK:
		return farm.OutcomeFallback, nil
	case modfarmv1.OutcomeKind_OUTCOME_KIND_RETURNED:
		return farm.OutcomeReturned, nil
	case modfarmv1.OutcomeKind_OUTCOME_KIND_UNSPECIFIED:
	}
	return "", module.Fault{Path: "kind", Value: k.String(), Problem: "not an outcome that this farm knows", Advice: "run worker and farm in the same version"}
}

func workerFrom(p *modfarmv1.Worker) (farm.Worker, error) {
	w := farm.Worker{
		Name: p.GetName(), Memory: max(0, p.GetMemoryTotal()), MemoryFree: max(0, p.GetMemoryFree()),
		Slots: max(0, int(p.GetSlots())), SlotsFree: max(0, int(p.GetSlotsFree())), Labels: p.GetLabels(), Draining: p.GetDraining(),
	}
	if w.Name == "" {
		return w, module.Fault{Path: "worker.name", Problem: "empty", Advice: "name the worker, for people"}
	}
	for _, list := range []struct {
		field string
		names []string
		into  *[]module.Platform
	}{{"native", p.GetNative(), &w.Native}, {"cross", p.GetCross(), &w.Cross}, {"qemu", p.GetQemu(), &w.QEMU}} {
		for i, name := range list.names {
			platform, err := module.ParsePlatform(name)
			if err != nil {
				return w, at(fmt.Sprintf("worker.%s[%d]", list.field, i), err)
			}
			*list.into = append(*list.into, platform)
		}
	}
	return w, nil
}

func assignmentTo(a *farm.Assignment) (*modfarmv1.Assignment, error) {
	out := &modfarmv1.Assignment{
		Lease: &modfarmv1.Lease{JobId: a.Lease.JobID, Token: a.Lease.Token, Ttl: durationpb.New(a.Lease.TTL)},
		Job:   jobTo(a.Job), Build: buildTo(a.Build), CheckoutToken: a.Token,
	}
	for _, s := range a.Strategies {
		out.Strategies = append(out.Strategies, string(s))
	}
	var err error
	if a.Build.Manifest != nil {
		if out.Manifest, err = json.Marshal(a.Build.Manifest); err != nil {
			return nil, fmt.Errorf("encode the manifest of build %s: %w", a.Build.ID, err)
		}
	}
	if a.Build.Settings != nil {
		if out.Settings, err = json.Marshal(a.Build.Settings); err != nil {
			return nil, fmt.Errorf("encode the settings of build %s: %w", a.Build.ID, err)
		}
	}
	return out, nil
}
