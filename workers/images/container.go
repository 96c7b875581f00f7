package images

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
)

// container is a running container in which an image is put together.
type container struct {
	maker *Maker
	id    string
}

// startContainer starts a container of the image base that waits for commands.
func (m *Maker) startContainer(ctx context.Context, base string, r Recipe) (*container, error) {
	platform := ociPlatform(r.Platform)
	reap := true
	made, err := m.create(ctx, client.ContainerCreateOptions{
		Config: &api.Config{
			Image:  base,
			Cmd:    []string{"sleep", "infinity"},
			Labels: map[string]string{"io.modfarm.image.making": r.Ref()},
		},
		HostConfig: &api.HostConfig{Init: &reap},
		Platform:   &platform,
	})
	if err != nil {
		return nil, fmt.Errorf("creating a container of %s: %w", base, err)
	}
	c := &container{maker: m, id: made}
	if _, err := m.Docker.ContainerStart(ctx, c.id, client.ContainerStartOptions{}); err != nil {
		c.remove(ctx)
		if strings.Contains(err.Error(), "exec format error") {
			return nil, fmt.Errorf("%w: this machine cannot run programs for %s; run `apt-get install qemu-user-static`, or `docker run --privileged --rm tonistiigi/binfmt --install all`", module.ErrUnavailable, r.Platform)
		}
		return nil, fmt.Errorf("starting a container of %s: %w", base, err)
	}
	return c, nil
}

// createTimeout is how long an engine may take to make a container.
const createTimeout = 2 * time.Minute

// create makes a container. An engine goes on making one that its caller gave up, and nobody would know its id: so an
// interrupt waits for the engine's answer, and then the container goes again.
func (m *Maker) create(ctx context.Context, options client.ContainerCreateOptions) (id string, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	making, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	made, err := m.Docker.ContainerCreate(making, options)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		(&container{maker: m, id: made.ID}).remove(ctx)
		return "", context.Cause(ctx)
	}
	return made.ID, nil
}

// remove removes the container, even when ctx has ended.
func (c *container) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if _, err := c.maker.Docker.ContainerRemove(ctx, c.id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
		c.maker.log().Warn("cannot remove a container that an image was made in", "container", c.id, "error", err)
	}
}

// exec runs a command in the container and returns its standard output; an error has the
// command's last words.
func (c *container) exec(ctx context.Context, env []string, args ...string) (string, error) {
	docker := c.maker.Docker
	made, err := docker.ExecCreate(ctx, c.id, client.ExecCreateOptions{Cmd: args, Env: env, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return "", err
	}
	stream, err := docker.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer stream.Close()
	// The connection does not know of ctx; closing it ends the copy.
	defer context.AfterFunc(ctx, stream.Close)()
	var out strings.Builder
	var complaints tail
	_, err = stdcopy.StdCopy(&out, &complaints, stream.Reader)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", err
	}
	state, err := docker.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		return "", err
	}
	if state.ExitCode != 0 {
		return "", fmt.Errorf("%s: exit status %d; it ended with:\n%s", args[0], state.ExitCode, complaints.text)
	}
	return out.String(), nil
}

// commit makes the container's files the recipe's image. The environment of the commands
// that ran, proxies for one, does not become part of it.
func (c *container) commit(ctx context.Context, r Recipe) error {
	c.maker.say("committing %s", r.Ref())
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	_, err := c.maker.Docker.ContainerCommit(ctx, c.id, client.ContainerCommitOptions{
		Reference: r.Ref(),
		Comment:   "modfarm images",
		Config:    &api.Config{Env: r.env(), Cmd: []string{"/bin/bash"}, Labels: r.labels("pull")},
	})
	if err != nil {
		return fmt.Errorf("committing the image: %w", err)
	}
	return nil
}
