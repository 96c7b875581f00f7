package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
)

// makeNetwork makes the worker's own bridge, on which containers do not reach each other. What else they do not
// reach is the business of their guards.
func (r *Runner) makeNetwork(ctx context.Context) error {
	name := "modfarm-" + safeName(r.opts.Name)
	if err := r.checkAlone(ctx, name); err != nil {
		return err
	}
	if r.opts.Alone > 0 {
		if ours, err := r.isOurs(ctx, name); ours || err != nil { // builds of the process before may go on in it
			r.network = name
			return err
		}
	}
	if err := r.removeNamed(ctx, name); err != nil {
		return err
	}
	if err := r.createNetwork(ctx, name); err != nil {
		return err
	}
	r.network = name
	return nil
}

// isOurs reports whether a network is one that an earlier process of this worker made.
func (r *Runner) isOurs(ctx context.Context, name string) (bool, error) {
	got, err := r.engine.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the network %s: %w", name, err)
	}
	return got.Network.Labels[labelWorker] == r.opts.Name && got.Network.Labels[labelWork] == r.opts.WorkDir, nil
}

// checkAlone refuses to start beside a running worker of the same name, since each would take the other's containers
// for leftovers. Two processes never share a work folder, so a network of another folder is somebody else's; and a
// worker that is gone has left no running container.
func (r *Runner) checkAlone(ctx context.Context, name string) error {
	got, err := r.engine.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the network %s: %w", name, err)
	}
	folder := got.Network.Labels[labelWork]
	if folder == "" || folder == r.opts.WorkDir {
		return nil
	}
	running, err := r.engine.ContainerList(ctx, client.ContainerListOptions{
		Filters: make(client.Filters).Add("label", labelWorker+"="+r.opts.Name),
	})
	if err != nil {
		return fmt.Errorf("list the containers of the worker: %w", err)
	}
	if len(running.Items) > 0 {
		return fmt.Errorf("%w: a worker called %s runs on this engine already, with the work folder %s; give this one another name with --name, "+
			"or stop that one", module.ErrConflict, r.opts.Name, folder)
	}
	return nil
}

// keepNetwork gives the id of the network, which it makes again when somebody removed it, such as `docker network
// prune`.
func (r *Runner) keepNetwork(ctx context.Context) (id string, err error) {
	got, err := r.engine.NetworkInspect(ctx, r.network, client.NetworkInspectOptions{})
	if errdefs.IsNotFound(err) {
		r.log().WarnContext(ctx, "the network of the builds was removed; making it again", "network", r.network)
		if err := r.createNetwork(ctx, r.network); err != nil && !errdefs.IsConflict(err) { // conflict: another build was faster
			return "", err
		}
		got, err = r.engine.NetworkInspect(ctx, r.network, client.NetworkInspectOptions{})
	}
	if err != nil {
		return "", fmt.Errorf("look at the network %s: %w", r.network, err)
	}
	return got.Network.ID, nil
}

func (r *Runner) createNetwork(ctx context.Context, name string) error {
	// As with containers, an interrupt would leave a network that nobody knows of: the next call sees it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_, err := r.engine.NetworkCreate(ctx, name, client.NetworkCreateOptions{
		Driver:  "bridge",
		Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
		Labels:  map[string]string{labelWorker: r.opts.Name, labelWork: r.opts.WorkDir},
	})
	if err != nil {
		return fmt.Errorf("make the network of the builds: %w; `docker network prune` frees addresses when they ran out", err)
	}
	return nil
}

func (r *Runner) removeNetwork(ctx context.Context) error {
	if r.network == "" {
		return nil
	}
	return r.removeNamed(ctx, r.network)
}

// removeNamed removes a network that this worker (perhaps an earlier process of it) made, together with the
// containers that are still on it.
func (r *Runner) removeNamed(ctx context.Context, name string) error {
	got, err := r.engine.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the network %s: %w", name, err)
	}
	if got.Network.Labels[labelWorker] != r.opts.Name {
		return fmt.Errorf("the network %s exists and is not this worker's; give the worker another name", name)
	}
	if err := r.removeContainers(ctx, nil); err != nil {
		return err
	}
	// The engine lets go of the ends of containers beside their removal: later, on a busy machine.
	for {
		_, err := r.engine.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if !strings.Contains(err.Error(), "active endpoints") {
			return fmt.Errorf("remove the network %s: %w", name, err)
		}
		select {
		case <-time.After(pollNetwork):
		case <-ctx.Done():
			return fmt.Errorf("remove the network %s: %w", name, err)
		}
	}
}

// pollNetwork is how long to wait before a network is tried to be removed again.
const pollNetwork = 250 * time.Millisecond

// safeName makes a worker's name fit for names of the engine.
func safeName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, name)
}
