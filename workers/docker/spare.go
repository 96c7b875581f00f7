package docker

import (
	"context"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// spareJob stands for the job in the name and labels of a guard that waits for one.
const spareJob = "spare"

// spare is a guard that waits for the next build, cut off from everything. Starting one is most of what the start of
// a build takes, and this way it was done before.
type spare struct {
	mu     sync.Mutex
	ready  *sentry
	making bool
	closed bool
	made   sync.WaitGroup
}

// guardFor gives a build the guard that waits, or makes one.
func (r *Runner) guardFor(ctx context.Context, room workers.Room) (*sentry, error) {
	again, err := r.keepNetwork(ctx)
	if err != nil {
		return nil, err
	}
	s := r.spare.take()
	switch {
	case s == nil:
		return r.makeGuard(ctx, room)
	case again, !s.alive(ctx): // a guard is of no use without the network that it was cut off from, nor when it is dead
		_ = s.close(ctx) // the next start of the worker removes what is left
		return r.makeGuard(ctx, room)
	}
	return s, nil
}

// aliveTime is how long a guard that waits may take to answer. It has nothing else to do.
const aliveTime = 2 * time.Second

// alive asks the guard: that its connection has not ended says little, as the end of a container takes a moment to get
// here, and one that is stopped has none.
func (s *sentry) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	_, err := s.order(ctx, guard.Order{})
	if err != nil {
		s.r.log().DebugContext(ctx, "the guard that waited is of no use", "container", s.id, "error", err)
	}
	return err == nil
}

// refill makes the next guard, beside whatever goes on.
func (r *Runner) refill(ctx context.Context) {
	if !r.spare.begin() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	go func() {
		defer cancel()
		s, err := r.makeSpare(ctx)
		if err != nil {
			r.log().WarnContext(ctx, "no guard can be kept ready for the next build", "error", err)
		}
		r.spare.put(ctx, s)
	}()
}

// makeSpare makes a guard and starts it.
func (r *Runner) makeSpare(ctx context.Context) (*sentry, error) {
	s, err := r.makeGuard(ctx, workers.Room{Job: spareJob, Platform: r.host})
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		_ = s.close(context.WithoutCancel(ctx)) // the first error says more
		return nil, err
	}
	return s, nil
}

// adopt gives a guard that waited the name of its job, for people who list containers.
func (s *sentry) adopt(ctx context.Context, room workers.Room) {
	if _, err := s.r.engine.ContainerRename(ctx, s.id, client.ContainerRenameOptions{NewName: guardName(room)}); err != nil {
		s.r.log().DebugContext(ctx, "rename a guard", "container", s.id, "error", err)
	}
}

func (p *spare) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.making || p.ready != nil {
		return false
	}
	p.making = true
	p.made.Add(1)
	return true
}

// put ends what begin began. A guard that comes too late goes again.
func (p *spare) put(ctx context.Context, s *sentry) {
	defer p.made.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.making = false
	if s != nil && p.closed {
		_ = s.close(ctx) // removing the network tells when this failed
		return
	}
	p.ready = s
}

func (p *spare) take() *sentry {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.ready
	p.ready = nil
	if s == nil {
		return nil
	}
	select {
	case <-s.ended: // somebody removed it
		return nil
	default:
		return s
	}
}

// is reports whether a container is the guard that waits.
func (p *spare) is(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready != nil && p.ready.id == id
}

// close takes the waiting guard away, for good.
func (p *spare) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.made.Wait()
	if s := p.take(); s != nil {
		return s.close(ctx)
	}
	return nil
}
