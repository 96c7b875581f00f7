package workers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/modfarm/modfarm/client"
)

// newLease makes a token of 128 random bits for a lease.
func newLease() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// claim asks for a job, unless this machine could not build it. A farm that has nothing answers at once. A claim that was
// not answered may have got a job all the same, now or when its bytes arrive: the next one names the same lease, and gets
// that job.
func (p *Pool) claim(ctx context.Context, self client.Worker) (*client.Assignment, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := p.Runner.Ready(ctx); err != nil {
		return nil, err
	}
	a, err := p.claimOnce(ctx, self)
	if errors.Is(err, client.ErrLeaseLost) { // the job of a claim that was not answered is over, or another worker's
		a, err = p.claimOnce(ctx, self)
	}
	return a, err
}

func (p *Pool) claimOnce(ctx context.Context, self client.Worker) (*client.Assignment, error) {
	self.NextLease = p.next
	a, err := p.Farm.Claim(ctx, self)
	if a != nil || err != nil && !unanswered(err) {
		p.next = newLease()
	}
	return a, err
}

// unanswered says that nobody knows what the farm made of a call.
func unanswered(err error) bool {
	answer, ok := errors.AsType[*client.Error](err)
	return ok && !answer.Answered
}
