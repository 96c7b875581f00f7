package docker

import (
	"context"
	"errors"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
)

const (
	// DefaultGrace is how long scripts have from being asked to end until they are killed. Cancelled builds are to be
	// gone within two seconds, and taking a container away takes its part of them.
	DefaultGrace = 500 * time.Millisecond
	// lastWords is how long the output of a container that ended may trail behind.
	lastWords = 200 * time.Millisecond
)

// keeperReady is a file that is there when the keeper is.
const keeperReady = "/run/.modfarm-ready"

// keeper is what a build container runs while nothing else does, below an init that reaps. It is there for one thing:
// the engine can signal nothing but this program, so on SIGTERM it asks all others to end, and ends when they have.
// For that it needs no process that is not there already, as the build may have used up all that it may have. It may
// run under emulation.
const keeper = `coproc { trap '' TERM; exec sleep infinity; }
never=${COPROC[0]} kept=" 1 $$ $COPROC_PID "
ask() {
	trap '' TERM
	kill -TERM -1
	while :; do
		left=
		for p in /proc/[0-9]*; do
			case $kept in *" ${p#/proc/} "*) ;; *) left=1 ;; esac
		done
		[ "$left" ] || exit 0
		read -r -t 0.02 -u "$never"
	done
}
trap ask TERM
: >` + keeperReady + `
wait "$COPROC_PID"`

// end ends everything in the container because ctx ended: it is asked to, and what is still there after the grace is
// killed. What took more than it may is killed at once.
func (c *box) end(ctx context.Context) {
	_, exceeded := errors.AsType[*workers.Exceeded](context.Cause(ctx))
	if c.r.limits.Grace > 0 && !exceeded && c.ask(context.WithoutCancel(ctx)) {
		return
	}
	c.kill(ctx)
}

// ask asks everything in the container to end, and says whether it has within the grace.
func (c *box) ask(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ended := c.r.engine.ContainerWait(ctx, c.id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if _, err := c.r.engine.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "TERM"}); err != nil {
		c.r.log().DebugContext(ctx, "ask a build container to end", "container", c.id, "error", err)
		return false
	}
	grace := time.NewTimer(c.r.limits.Grace)
	defer grace.Stop()
	select {
	case <-ended.Result:
		return true
	case <-ended.Error: //nolint:errcheck // whatever went wrong, the container is killed then
	case <-grace.C:
	}
	return false
}
