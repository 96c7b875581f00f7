package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// makeContainer makes a container. An engine goes on making one that its caller gave up, and nobody would know its id:
// so an interrupt waits for the engine's answer, and then the container goes again.
func (r *Runner) makeContainer(ctx context.Context, options client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	if ctx.Err() != nil {
		return client.ContainerCreateResult{}, context.Cause(ctx)
	}
	making, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	made, err := r.engine.ContainerCreate(making, options)
	if err == nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), r.remove(making, made.ID))
	}
	if err != nil {
		return client.ContainerCreateResult{}, err
	}
	return made, nil
}

// leftoverAge is more than any container needs from being made to being started.
const leftoverAge = 10 * time.Minute

// Sweep removes the containers that ended workers whose names begin with prefix left behind without running: those of
// local builds, which have another name each time, so that no later one reaps them. What is young may be about to start.
func Sweep(ctx context.Context, engine *client.Client, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := engine.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", labelWorker).Add("status", string(container.StateCreated), string(container.StateExited), string(container.StateDead)),
	})
	if err != nil {
		return fmt.Errorf("list the containers of earlier workers: %w", err)
	}
	r := &Runner{engine: engine}
	var errs []error
	for _, c := range list.Items {
		if strings.HasPrefix(c.Labels[labelWorker], prefix) && time.Since(time.Unix(c.Created, 0)) > leftoverAge {
			errs = append(errs, r.remove(ctx, c.ID))
		}
	}
	return errors.Join(errs...)
}
