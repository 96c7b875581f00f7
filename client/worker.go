package client

import (
	"context"

	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// Claim asks for a job; nil means that there is nothing for this worker now.
func (c *Client) Claim(ctx context.Context, w Worker) (*Assignment, error) {
	res, err := c.workers.Claim(ctx, &modfarmv1.ClaimRequest{Worker: &modfarmv1.Worker{
		Name: w.Name, Native: platformNames(w.Native), Cross: platformNames(w.Cross), Qemu: platformNames(w.QEMU),
	}})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	if res.GetAssignment() == nil {
		return nil, nil //nolint:nilnil // documented: nothing to do is not an error
	}
	return assignmentFrom(res.GetAssignment())
}

// Extend keeps a lease and tells what the worker does. The error is ErrLeaseLost when another worker
// holds the job.
func (c *Client) Extend(ctx context.Context, l LeaseRef, p Progress) (Directive, error) {
	res, err := c.workers.Extend(ctx, &modfarmv1.ExtendRequest{Lease: leaseRef(l), Step: p.Step, Strategy: string(p.Strategy)})
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
		Lease: leaseRef(l), Kind: modfarmv1.OutcomeKind(o.Kind), Reason: o.Reason, Strategy: string(o.Strategy), //nolint:gosec // four values
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
