package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

// pollExec is how often a running command is looked at, and lastOutput how long its output may trail behind its
// end: a process that a script left in the background would otherwise keep the stream open for good.
const (
	pollExec   = 2 * time.Second
	lastOutput = 2 * time.Second
	// killed is the exit status of a command that SIGKILL ended.
	killed = 137
)

// Run runs a command as an exec of the container.
func (c *box) Run(ctx context.Context, cmd workers.Command) (workers.Exit, error) {
	ctx, free := c.bounded(ctx)
	defer free()
	env, err := c.setNetwork(ctx, cmd.Network)
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	out := &shared{w: cmd.Output} // the guard writes to it, too
	refused := new(refusals)
	c.guard.onRefusal(refused.announce(out))
	defer c.guard.onRefusal(nil)
	made, err := c.r.engine.ExecCreate(ctx, c.id, client.ExecCreateOptions{
		AttachStdout: true, AttachStderr: true, User: "0:0",
		Env: slices.Concat(cmd.Env, env), WorkingDir: cmd.Dir, Cmd: []string{"bash", "-c", cmd.Script},
	})
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	if err := c.stream(ctx, made.ID, out); err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	exit, err := c.exit(ctx, made.ID)
	if err != nil || exit.Code == 0 {
		return exit, err
	}
	if exit.Blocked, err = c.blocked(ctx); err != nil {
		return exit, c.explain(ctx, err)
	}
	exit.Refused = refused.list()
	return exit, nil
}

// stream starts the exec and copies its output until it ended.
func (c *box) stream(ctx context.Context, exec string, out io.Writer) error {
	conn, err := c.r.engine.ExecAttach(ctx, exec, client.ExecAttachOptions{})
	if err != nil {
		return err
	}
	defer conn.Close()
	copied := make(chan error, 1)
	go func() {
		_, err := stdcopy.StdCopy(out, out, conn.Reader)
		copied <- err
	}()
	poll := time.NewTicker(pollExec)
	defer poll.Stop()
	for {
		select {
		case err := <-copied:
			return err
		case <-ctx.Done():
			c.kill(ctx)
			conn.Close()
			<-copied //nolint:errcheck // cut off on purpose
			return context.Cause(ctx)
		case <-poll.C:
			if !c.running(ctx, exec) {
				return c.drain(ctx, conn, copied)
			}
		}
	}
}

// drain gives the output of an ended command a little time, then stops listening.
func (c *box) drain(ctx context.Context, conn client.ExecAttachResult, copied <-chan error) error {
	timer := time.NewTimer(lastOutput)
	defer timer.Stop()
	select {
	case err := <-copied:
		return err
	case <-timer.C:
	case <-ctx.Done():
	}
	conn.Close()
	<-copied //nolint:errcheck // cut off on purpose
	return nil
}

func (c *box) running(ctx context.Context, exec string) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := c.r.engine.ExecInspect(ctx, exec, client.ExecInspectOptions{})
	return err != nil || got.Running // an engine that does not answer says nothing about the command
}

// kill ends everything in the container at once: the engine cannot end a single exec.
func (c *box) kill(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := c.r.engine.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		c.r.log().DebugContext(ctx, "kill a build container", "container", c.id, "error", err)
	}
}

func (c *box) exit(ctx context.Context, exec string) (workers.Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := c.r.engine.ExecInspect(ctx, exec, client.ExecInspectOptions{})
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	exit := c.r.limits.exit(got.ExitCode)
	state, err := c.r.engine.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	if s := state.Container.State; s != nil {
		exit.OutOfMemory = s.OOMKilled && !s.Running // otherwise an earlier command may have been meant
		if !s.Running && !exit.OutOfMemory {
			return exit, fmt.Errorf("%w: the build container ended by itself", module.ErrUnavailable)
		}
		c.diagnose(ctx, &exit, s.Pid)
	}
	if exit.Code == killed && !exit.OutOfMemory && c.vanishes(ctx) {
		return exit, c.explain(ctx, errors.New("the build container was killed or removed from outside"))
	}
	return exit, nil
}

// vanishes says whether the container is ending or gone, though a moment ago the engine called it running: the end
// of its processes is known before its own.
func (c *box) vanishes(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lastOutput)
	defer cancel()
	tick := time.NewTicker(lastOutput / 20)
	defer tick.Stop()
	for {
		got, err := c.r.engine.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) {
			return true
		}
		if s := got.Container.State; err == nil && s != nil && !s.Running {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// explain tells the caller's own cancel from trouble with the engine.
func (c *box) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: run a command in the build container: %w", module.ErrUnavailable, err)
}
