package workers

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/modfarm/modfarm/module"
)

// ready is a container that waits for the job to need it: one that is started while the source is fetched, or the
// one that the probe ran in. Starting one takes as long as fetching a small repository, and neither needs the other.
type ready struct {
	platform module.Platform
	done     chan struct{} // closed when the two below are set
	box      Container
	err      error
	used     bool // something ran in it
}

// startEarly starts the container of the job, where it is known before the source is.
func (j *job) startEarly(ctx context.Context) error {
	// The container sees the folder of the checkout, which therefore has to be there first.
	if err := os.MkdirAll(j.tree(), 0o755); err != nil {
		return fmt.Errorf("make a folder for the job: %w", err)
	}
	if len(j.a.Strategies) == 0 {
		return nil
	}
	e := &ready{platform: j.a.Job.Platform, done: make(chan struct{})}
	if j.a.Strategies[0] == module.StrategyCross { // whether it does cross is seen from its source; the probe runs there in any case
		e.platform = j.pool.Host
	}
	j.ready = e
	go func() {
		defer close(e.done)
		e.box, e.err = j.pool.Runner.Start(ctx, j.room(e.platform))
		j.pace.done(&j.pace.container)
	}()
	return nil
}

// container hands over the container that is ready, when it is of the platform, and starts one otherwise.
func (j *job) container(ctx context.Context, p module.Platform) (Container, error) {
	e := j.ready
	if e == nil || e.platform != p {
		if err := j.discard(ctx); err != nil {
			return nil, err
		}
		return j.pool.Runner.Start(ctx, j.room(p))
	}
	j.ready = nil
	<-e.done // Start ends with its context, which is the job's
	return e.box, e.err
}

// keep makes a container that something ran in the one that is ready.
func (j *job) keep(box Container, p module.Platform) {
	e := &ready{platform: p, done: make(chan struct{}), box: box, used: true}
	close(e.done)
	j.ready = e
}

// discard removes the container that is ready, beside whatever comes next. Nothing runs in it when it returns.
func (j *job) discard(ctx context.Context) error {
	e := j.ready
	j.ready = nil
	switch {
	case e == nil:
		return nil
	case e.used:
		return j.leave(ctx, e.box)
	}
	j.closing.Go(func() {
		<-e.done
		if e.box != nil {
			j.closeBox(ctx, e.box)
		}
	})
	return nil
}

// leave ends everything that runs in a container and has it removed beside whatever comes next.
func (j *job) leave(ctx context.Context, box Container) error {
	err := box.Kill(ctx)
	j.closing.Go(func() { j.closeBox(ctx, box) })
	if err != nil { // what still runs could change what is read next
		return fmt.Errorf("%w: end the build's container: %w", module.ErrUnavailable, err)
	}
	return nil
}

// closeBox removes a container, and tries for about a minute: an engine that is being restarted took the build with
// it, but not what is left of its container. What cannot be removed is told to the owner of the machine, not to the
// author.
func (j *job) closeBox(ctx context.Context, box Container) {
	const tries = 8
	ctx = context.WithoutCancel(ctx) // a job that was cancelled leaves nothing either
	for try := 0; ; try++ {
		err := box.Close(ctx)
		if err == nil {
			return
		}
		if try == tries || (backoff{first: time.Second, most: 15 * time.Second}).sleep(ctx, try) != nil {
			j.slog.ErrorContext(ctx, leftBehind, "error", err)
			return
		}
	}
}
