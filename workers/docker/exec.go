package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// pollExec is how often a running command is looked at, and lastOutput how long its output may trail behind its
// end: a process that a script left in the background would otherwise keep the stream open for good.
const (
	pollExec   = 2 * time.Second
	lastOutput = 2 * time.Second
	// killed is the exit status of a command that SIGKILL ended, and terminated of one that SIGTERM did.
	killed     = 137
	terminated = 143
	// askedToEnd is how long a container may take to end behind a command that was asked to.
	askedToEnd = 300 * time.Millisecond
	// keeperWaits is how many hundredths of a second the first command waits for the keeper at most.
	keeperWaits = "6000"
)

// runScript runs a script and ends what it left in the background: everything that was not there before. It starts no
// process for that, since the script may have used up all that it may have. What bash says of a script that was killed
// is not the script's. Its output goes to the pipe from the first, which waits for the guard.
//
// The keeper of the container has to be there first, or it would be taken for one that was left. Only the first script
// waits for it: what runs later may not find the sign any more.
const runScript = `exec >"$2" 2>&1
exec 3<>"$2"
for ((i = 0; i < $3; i++)); do [ -e ` + keeperReady + ` ] && break; read -r -t 0.01 -u 3; done
exec 3<&-
kept=" $$ "; for p in /proc/[0-9]*; do kept="$kept${p#/proc/} "; done
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

// Run runs a command as an exec of the container. What it writes goes through a pipe to the guard, and comes from there.
func (c *box) Run(ctx context.Context, cmd workers.Command) (workers.Exit, error) {
	ctx, free := c.bounded(ctx)
	defer free()
	env, err := c.setNetwork(ctx, cmd.Network)
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	out, pipe, err := c.guard.open(ctx)
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	defer c.guard.leave(out)
	waits := "0"
	if !c.ran && c.taken == nil {
		waits = keeperWaits
	}
	c.ran = true
	made, err := c.r.engine.ExecCreate(ctx, c.id, client.ExecCreateOptions{
		User: "0:0", Env: slices.Concat(cmd.Env, env), WorkingDir: cmd.Dir, Cmd: []string{"bash", "-c", runScript, "modfarm", cmd.Script, pipe, waits},
	})
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	if cmd.Held != nil {
		cmd.Held(c.hold(made.ID, out.pipe))
	}
	if _, err := c.r.engine.ExecStart(ctx, made.ID, client.ExecStartOptions{Detach: true}); err != nil {
		if err := c.notStarted(ctx, made.ID, err, cmd.Output); err != nil {
			return workers.Exit{}, c.explain(ctx, err)
		}
	} else if err := c.follow(ctx, made.ID, out, 0, cmd.Output); err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	return c.conclude(ctx, made.ID)
}

// conclude says how a command ended whose output is complete.
func (c *box) conclude(ctx context.Context, exec string) (workers.Exit, error) {
	exit, err := c.exit(ctx, exec)
	if err != nil || exit.Code == 0 {
		return exit, err
	}
	answer, err := c.guard.order(ctx, guard.Order{Close: true})
	if err == nil {
		exit.Refused = answer.Refused
		exit.Blocked, err = c.blocked(ctx)
	}
	if err != nil {
		return exit, c.explain(ctx, err)
	}
	return exit, nil
}

// notStarted takes what the engine says of a command that it could not start for what the command says, as a shell
// would: the folder to run in may be gone. What the engine itself failed at is an error.
func (c *box) notStarted(ctx context.Context, exec string, err error, out io.Writer) error {
	got, ierr := c.r.engine.ExecInspect(ctx, exec, client.ExecInspectOptions{})
	if ierr != nil || got.Running || got.ExitCode == 0 {
		return err
	}
	_, err = fmt.Fprintln(out, strings.TrimPrefix(err.Error(), "Error response from daemon: "))
	return err
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
	code, err := c.awaitEnd(ctx, exec)
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	exit := c.r.limits.exit(code)
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
	if exit.Code != 0 && !exit.OutOfMemory && c.vanishes(ctx, patienceFor(exit.Code)) {
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

// patienceFor is how long a command's container may take to end behind it. An engine that is stopped asks what runs in
// its containers to end first, and what a script answers then is not its result.
func patienceFor(code int) time.Duration {
	if code == killed || code == terminated {
		return lastOutput
	}
	return askedToEnd
}

// vanishes says whether the container is ending or gone, though a moment ago the engine called it running: the end
// of its processes is known before its own.
func (c *box) vanishes(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(askedToEnd / 3)
	defer tick.Stop()
	for {
		got, err := c.r.engine.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) || err != nil && ctx.Err() == nil { // an engine that is gone has taken it along
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
