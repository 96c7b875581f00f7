package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
)

// readyTimeout bounds the question whether the engine answers.
const readyTimeout = 10 * time.Second

// Ready implements workers.Runner: the engine answers, and the disk of the work folder is not nearly full.
func (r *Runner) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if _, err := r.engine.Ping(ctx, client.PingOptions{}); err != nil {
		return unreachable(r.engine.DaemonHost(), err)
	}
	rooms, err := (&hostMeter{workspace: r.opts.WorkDir, layer: r.opts.WorkDir}).rooms(ctx)
	if err != nil {
		return nil // not known here: a build that meets a full disk will say so
	}
	for _, room := range rooms {
		if room.low() {
			return room.nearlyFull()
		}
	}
	return nil
}

// nearlyFull says that a disk is low.
func (r room) nearlyFull() error {
	return fmt.Errorf("%w: the worker's disk is nearly full (%s of %s and %d files are free): free some space on the worker",
		module.ErrUnavailable, bytesOf(r.free), bytesOf(r.total), r.files)
}
