package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Kill ends everything that runs in the container. Removing it and its network takes several times as long, and
// nothing has to wait for that.
func (c *box) Kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	ended := c.r.engine.ContainerWait(ctx, c.id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	_, err := c.r.engine.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "KILL"})
	if err != nil && !errdefs.IsConflict(err) && !errdefs.IsNotFound(err) { // conflict: it does not run
		return fmt.Errorf("end a container: %w", err)
	}
	select {
	case <-ended.Result:
		return nil
	case err := <-ended.Error:
		if errdefs.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("wait for the end of a container: %w", err)
	case <-ctx.Done():
		return errors.New("a container did not end in time")
	}
}
