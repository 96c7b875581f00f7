package client

import (
	"context"

	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// Claim asks for a job; nil means that there is nothing for this worker now. The error is ErrLeaseLost when w.NextLease
// was of a job that is over, or not this worker's any more.
func (c *Client) Claim(ctx context.Context, w Worker) (*Assignment, error) {
	res, err := c.workers.Claim(ctx, &modfarmv1.ClaimRequest{Worker: workerTo(w), LeaseToken: w.NextLease})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	if res.GetAssignment() == nil {
		return nil, nil //nolint:nilnil // documented: nothing to do is not an error
	}
	return assignmentFrom(res.GetAssignment())
}

// Resume gets the job again that a lease still holds, for a worker that was restarted, and renews the lease. The error
// is ErrLeaseLost when another worker holds the job, or it is over.
func (c *Client) Resume(ctx context.Context, w Worker, l LeaseRef) (*Assignment, error) {
	res, err := c.workers.Resume(ctx, &modfarmv1.ResumeRequest{Worker: workerTo(w), Lease: leaseRef(l)})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	return assignmentFrom(res.GetAssignment())
}

func workerTo(w Worker) *modfarmv1.Worker {
	const most = 1 << 20
	return &modfarmv1.Worker{
		Name: w.Name, Native: platformNames(w.Native), Cross: platformNames(w.Cross), Qemu: platformNames(w.QEMU),
		MemoryTotal: w.Memory, MemoryFree: w.MemoryFree, Labels: w.Labels, Draining: w.Draining,
		Slots: int32(min(w.Slots, most)), SlotsFree: int32(min(w.SlotsFree, most)), //nolint:gosec // bounded
	}
}

// Extend keeps a lease and tells what the worker does. The error is ErrLeaseLost when another worker
// holds the job.
func (c *Client) Extend(ctx context.Context, l LeaseRef, p Progress) (Directive, error) {
	res, err := c.workers.Extend(ctx, &modfarmv1.ExtendRequest{Lease: leaseRef(l), Step: p.Step, Strategy: string(p.Strategy), Report: reportTo(p.Report)})
	if err != nil {
		return Directive{}, c.fromRPC(ctx, err)
	}
	return Directive{Cancel: res.GetCancel(), TTL: res.GetTtl().AsDuration()}, nil
}

// AppendLog sends a piece of a job's log and returns where the next must begin. Sending a piece again
// is harmless; after a gap the Error's LogOffset says where to go on.
func (c *Client) AppendLog(ctx context.Context, l LeaseRef, chunk LogChunk) (int64, error) {
	res, err := c.workers.AppendLog(ctx, &modfarmv1.AppendLogRequest{
		Lease: leaseRef(l), Chunk: &modfarmv1.LogChunk{Offset: chunk.Offset, Step: chunk.Step, Data: chunk.Data},
	})
	if err != nil {
		return 0, c.fromRPC(ctx, err)
	}
	return res.GetNext(), nil
}

// Finish ends the attempt and gives the lease back.
func (c *Client) Finish(ctx context.Context, l LeaseRef, o Outcome) (Job, error) {
	res, err := c.workers.Finish(ctx, &modfarmv1.FinishRequest{
		Lease: leaseRef(l), Kind: modfarmv1.OutcomeKind(o.Kind), Reason: o.Reason, Strategy: string(o.Strategy), //nolint:gosec // few values
		Report: reportTo(o.Report),
	})
	if err != nil {
		return Job{}, c.fromRPC(ctx, err)
	}
	var r reader
	j := r.job(res.GetJob())
	return j, r.err
}

func leaseRef(l LeaseRef) *modfarmv1.LeaseRef {
	return &modfarmv1.LeaseRef{JobId: l.JobID, Token: l.Token}
}
