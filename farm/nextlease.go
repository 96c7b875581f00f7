package farm

import (
	"context"
	"errors"

	"github.com/modfarm/modfarm/module"
)

// leaseToken is the token that a worker wants its next lease to have; empty for none.
type leaseToken string

// leastToken and mostToken bound it, in bytes.
const (
	leastToken = 32
	mostToken  = 256
)

// nextLease takes the token out of what a worker says of itself, which others may read.
func nextLease(w *Worker) (leaseToken, error) {
	next := leaseToken(w.NextLease)
	w.NextLease = ""
	if n := len(next); n != 0 && (n < leastToken || n > mostToken) {
		return "", module.Fault{Path: "lease_token", Problem: "not of 32 to 256 characters", Advice: "send 32 random hexadecimal digits, or nothing"}
	}
	return next, nil
}

// hashes are what a job may keep of the lease: held, or given back.
func (l leaseToken) hashes() []string {
	if l == "" {
		return nil
	}
	hash := hashToken(string(l))
	return []string{hash, given + hash}
}

// takeBack queues the job again that a worker which stops was given and never heard of.
func (f *Farm) takeBack(ctx context.Context, next leaseToken) error {
	if next == "" {
		return nil
	}
	j, err := f.Store.ClaimJob(ctx, Want{LeaseHashes: next.hashes()}, nil)
	if err == nil {
		_, err = f.Finish(ctx, LeaseRef{JobID: j.Job.ID, Token: string(next)}, Outcome{Kind: OutcomeReturned})
	}
	if errors.Is(err, module.ErrNotFound) || errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return err
}
