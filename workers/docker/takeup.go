package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

var _ workers.Keeper = (*Runner)(nil)

// held is what takes up a container again, and the command in it.
type held struct {
	Container string    `json:"container"`
	Image     string    `json:"image"`
	Started   time.Time `json:"started"`
	Guard     string    `json:"guard"`
	Pipes     string    `json:"pipes"`
	Apt       string    `json:"apt"`
	Exec      string    `json:"exec"`
	Pipe      string    `json:"pipe"`
	Before    counts    `json:"before"`
}

// hold notes a command that is about to be started.
func (c *box) hold(exec, pipe string) workers.Held {
	if c.r.opts.Alone <= 0 {
		return nil
	}
	data, err := json.Marshal(held{
		Container: c.id, Image: c.image, Started: c.started, Guard: c.guard.id, Pipes: c.guard.pipes, Apt: c.apt, Exec: exec, Pipe: pipe, Before: c.before,
	})
	if err != nil {
		return nil // strings and numbers
	}
	return data
}

// heldThings are the containers and files of what is held.
func heldThings(data workers.Held) []string {
	var h held
	if json.Unmarshal(data, &h) != nil {
		return nil
	}
	return []string{h.Container, h.Guard, h.Pipes, h.Apt}
}

// TakeUp implements workers.Keeper.
func (r *Runner) TakeUp(ctx context.Context, room workers.Room, data workers.Held) (workers.KeptContainer, error) {
	c, ref, err := r.takeUp(ctx, room, data)
	if err != nil {
		return nil, fmt.Errorf("%w: take up a build container: %w", module.ErrUnavailable, err)
	}
	c.startWatch(ctx, ref, room)
	return c, nil
}

func (r *Runner) takeUp(ctx context.Context, room workers.Room, data workers.Held) (c *box, ref string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	h := new(held)
	if err := json.Unmarshal(data, h); err != nil {
		return nil, "", fmt.Errorf("what was noted of it cannot be read: %w", err)
	}
	for _, id := range []string{h.Container, h.Guard} {
		got, err := r.engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if err != nil {
			return nil, "", err
		}
		switch config, state := got.Container.Config, got.Container.State; {
		case config == nil || config.Labels[labelWorker] != r.opts.Name:
			return nil, "", errors.New("it is another worker's")
		case state == nil || !state.Running || state.Paused:
			return nil, "", errors.New("it does not run any more")
		case id == h.Container:
			ref = config.Image
		}
	}
	c = &box{r: r, id: h.Container, guard: r.sentry(h.Guard, h.Pipes), apt: h.Apt, image: h.Image, started: h.Started, cache: room.Cache, before: h.Before, taken: h}
	if err := c.guard.attach(ctx); err != nil {
		return nil, "", err
	}
	// The line that the process before was at ends here.
	if _, err = c.guard.conn.Conn.Write([]byte("\n")); err == nil {
		_, err = c.guard.order(ctx, guard.Order{})
	}
	if err != nil {
		c.guard.conn.Close()
		return nil, "", err
	}
	r.useCache(room.Cache)
	return c, ref, nil
}

// Resume implements workers.KeptContainer.
func (c *box) Resume(ctx context.Context, from int64, cmd workers.Command) (workers.Exit, error) {
	ctx, free := c.bounded(ctx)
	defer free()
	if c.taken == nil {
		return workers.Exit{}, c.explain(ctx, errors.New("it was not taken up"))
	}
	out := c.guard.listenTo(c.taken.Pipe)
	defer c.guard.leave(out)
	answer, err := c.guard.order(ctx, guard.Order{From: &from})
	switch {
	case err != nil:
	case answer.Pipe != c.taken.Pipe:
		err = errors.New("another command ran since")
	case !answer.Begun && !c.running(ctx, c.taken.Exec):
		err = errors.New("it was never started")
	default:
		err = c.follow(ctx, c.taken.Exec, out, from, cmd.Output)
	}
	if err != nil {
		return workers.Exit{}, c.explain(ctx, err)
	}
	return c.conclude(ctx, c.taken.Exec)
}

// Drop implements workers.Keeper.
func (r *Runner) Drop(ctx context.Context, data workers.Held) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	var h held
	if err := json.Unmarshal(data, &h); err != nil {
		return fmt.Errorf("what was noted of a container cannot be read: %w", err)
	}
	list, err := r.engine.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", labelWorker+"="+r.opts.Name),
	})
	if err != nil {
		return fmt.Errorf("list the containers of the worker: %w", err)
	}
	var errs []error
	for _, c := range list.Items {
		if c.ID == h.Container || c.ID == h.Guard {
			errs = append(errs, r.remove(ctx, c.ID))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// What stays of these goes with the next start of the worker.
	if filepath.Dir(h.Apt) == r.envDir() {
		_ = os.Remove(h.Apt)
	}
	if filepath.Dir(h.Pipes) == r.pipesDir() {
		_ = os.RemoveAll(h.Pipes)
	}
	return nil
}
