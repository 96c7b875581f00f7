package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
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

// runScript runs a script and ends what it left in the background: everything that was not there before. It starts no
// process for that, since the script may have used up all that it may have. What bash says of a script that was killed
// is not the script's.
const runScript = `kept=" $$ "; for p in /proc/[0-9]*; do kept="$kept${p#/proc/} "; done
exec 3>&2 2>/dev/null
bash -c "$1" 2>&3 3>&-
status=$?
for round in 1 2 3 4 5 6 7 8 9; do
	left=
	for p in /proc/[0-9]*; do
		p=${p#/proc/}
		case $kept in *" $p "*) ;; *) kill -KILL "$p" && left=1 ;; esac
	done
	[ "$left" ] || break
done
exit $status`

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
		Env: slices.Concat(cmd.Env, env), WorkingDir: cmd.Dir, Cmd: []string{"bash", "-c", runScript, "modfarm", cmd.Script},
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
			return c.endedByItself(ctx, exit)
		}
		c.diagnose(ctx, &exit, s.Pid)
	}
	if exit.Code == killed && !exit.OutOfMemory && c.vanishes(ctx) {
		return c.endedByItself(ctx, exit)
	}
	return exit, nil
}

// endedByItself tells a script that ended its own container, as kill -9 -1 does, from somebody or something that ended
// it from outside. The engine remembers for a while what it was asked to end.
func (c *box) endedByItself(ctx context.Context, exit workers.Exit) (workers.Exit, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	asked := c.r.engine.Events(ctx, client.EventsListOptions{
		Since: strconv.FormatInt(c.started.Unix()-1, 10), Until: strconv.FormatInt(time.Now().Unix()+1, 10),
		Filters: make(client.Filters).Add("container", c.id).Add("event", "kill", "stop", "destroy"),
	})
	for {
		select {
		case <-asked.Messages:
			return exit, c.explain(ctx, errors.New("the build container was killed or removed from outside"))
		case err := <-asked.Err:
			if !errors.Is(err, io.EOF) {
				return exit, c.explain(ctx, fmt.Errorf("the build container ended, and why is not known: %w", err))
			}
			exit.EndedContainer = true
			exit.Code = cmp.Or(exit.Code, killed)
			return exit, nil
		}
	}
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
