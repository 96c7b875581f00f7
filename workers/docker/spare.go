package docker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// spareJob stands for the job in the name of a guard that waits for one.
const spareJob = "spare"

// spare are guards that wait for the next builds, cut off from everything: new ones, and those of builds that ended.
// Starting one is most of what the start of a build takes, and this way it was done before.
type spare struct {
	most int // is how many may wait

	mu     sync.Mutex
	ready  []*sentry
	making bool
	closed bool
	made   sync.WaitGroup
}

// guardFor gives a build a guard that waits, or makes one.
func (r *Runner) guardFor(ctx context.Context, room workers.Room) (*sentry, error) {
	network, err := r.keepNetwork(ctx)
	if err != nil {
		return nil, err
	}
	for s := r.spare.take(); s != nil; s = r.spare.take() {
		// A guard is of no use without the network that it was cut off from, nor when it is dead.
		if s.network == network && s.alive(ctx) {
			return s, nil
		}
		_ = s.close(ctx) // the next start of the worker removes what is left
	}
	return r.makeGuard(ctx, room, network)
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

// retire ends the guard's part in a build whose container is gone. It waits for the next build, if one more may wait and
// it forgets all of this one, or goes.
func (s *sentry) retire(ctx context.Context) error {
	if s.conn != nil && s.network != "" && s.r.spare.wanted() {
		err := s.forget(ctx)
		if err == nil && s.r.spare.keep(s) {
			return nil
		}
		s.r.log().DebugContext(ctx, "a guard is not used again", "container", s.id, "error", err)
	}
	return s.close(ctx)
}

// forget cuts everything off and has the guard forget the build: what it wrote, and the connections whose answers the
// packet filter would let in. What else there was of the build in this network went with its last process.
func (s *sentry) forget(ctx context.Context) error {
	if _, err := s.order(ctx, guard.Order{Config: s.config(), Policy: module.NetworkNone, Fresh: true}); err != nil {
		return err
	}
	if err := emptyPipes(s.pipes); err != nil {
		return err
	}
	return s.rename(ctx, workers.Room{Job: spareJob, Platform: s.r.host})
}

// refill makes a guard when none waits, beside whatever goes on.
func (r *Runner) refill(ctx context.Context) {
	if !r.spare.begin() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	go func() {
		defer cancel()
		defer r.spare.end()
		s, err := r.makeSpare(ctx)
		if err != nil {
			r.log().WarnContext(ctx, "no guard can be kept ready for the next build", "error", err)
		} else if !r.spare.keep(s) {
			_ = s.close(ctx) // removing the network tells when this failed
		}
	}()
}

// makeSpare makes a guard and starts it.
func (r *Runner) makeSpare(ctx context.Context) (*sentry, error) {
	network, err := r.keepNetwork(ctx)
	if err != nil {
		return nil, err
	}
	s, err := r.makeGuard(ctx, workers.Room{Job: spareJob, Platform: r.host}, network)
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		_ = s.close(context.WithoutCancel(ctx)) // the first error says more
		return nil, err
	}
	return s, nil
}

// rename gives a guard the name of what it does now, for people who list containers.
func (s *sentry) rename(ctx context.Context, room workers.Room) error {
	_, err := s.r.engine.ContainerRename(ctx, s.id, client.ContainerRenameOptions{NewName: guardName(room)})
	return err
}

// begin says whether a guard is to be made; end has to follow then.
func (p *spare) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.making || len(p.ready) > 0 {
		return false
	}
	p.making = true
	p.made.Add(1)
	return true
}

func (p *spare) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.making = false
	p.made.Done()
}

// wanted says whether one more guard may wait.
func (p *spare) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && len(p.ready) < p.most
}

// keep has a guard wait, unless that is one too many or comes too late.
func (p *spare) keep(s *sentry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.ready) >= p.most {
		return false
	}
	p.ready = append(p.ready, s)
	return true
}

// take gives a guard that waits, the latest first; nil when there is none.
func (p *spare) take() *sentry {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.ready) > 0 {
		s := p.ready[len(p.ready)-1]
		p.ready = p.ready[:len(p.ready)-1]
		select {
		case <-s.ended: // somebody removed it
		default:
			return s
		}
	}
	return nil
}

// is reports whether a container is a guard that waits.
func (p *spare) is(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.ready, func(s *sentry) bool { return s.id == id })
}

// close takes the waiting guards away, for good.
func (p *spare) close(ctx context.Context) (err error) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.made.Wait()
	for s := p.take(); s != nil; s = p.take() {
		err = errors.Join(err, s.close(ctx))
	}
	return err
}
