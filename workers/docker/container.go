package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

// Start makes the builder image when it is absent, and starts an idle container of it.
func (r *Runner) Start(ctx context.Context, room workers.Room) (workers.Container, error) {
	say := room.Say
	if say == nil {
		say = func(string) {}
	}
	ref, err := r.opts.Images.Builder(ctx, room.Platform, room.Distro, say)
	if err != nil {
		return nil, err
	}
	c := &box{cache: room.Cache, r: r}
	r.useCache(room.Cache)
	err = r.create(ctx, c, ref, room)
	if err == nil {
		return c, nil
	}
	if cerr := c.Close(ctx); cerr != nil {
		r.log().WarnContext(ctx, "a container could not be removed", "error", cerr)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start a build container: %w", context.Cause(ctx))
	}
	if strings.Contains(strings.ToLower(err.Error()), "exec format error") {
		return nil, fmt.Errorf("%w: this machine cannot run %s containers any more: %s", module.ErrUnavailable, room.Platform, cure(room.Platform))
	}
	return nil, fmt.Errorf("%w: start a build container: %w", module.ErrUnavailable, err)
}

func (r *Runner) create(ctx context.Context, c *box, ref string, room workers.Room) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	host, err := r.guarded(ctx, c, room)
	if err != nil {
		return err
	}
	guarding := make(chan error, 1)
	go func() { guarding <- c.guard.beginFor(ctx, room) }() // beside making the container
	image := make(chan string, 1)
	go func() { image <- r.digested(ctx, ref) }()
	made, err := r.makeContainer(ctx, client.ContainerCreateOptions{
		Name: containerName(room),
		Config: &container.Config{
			Image:       ref,
			Entrypoint:  []string{"bash", "-c"}, // commands come as execs
			Cmd:         []string{keeper},
			WorkingDir:  workers.WorkspacePath,
			User:        "0:0",
			StopTimeout: r.limits.stopSeconds(),
			Env:         r.opts.Env.environ(room.Cache.Key != ""),
			Labels: map[string]string{
				labelWorker: r.opts.Name, labelJob: room.Job,
				labelAttempt: strconv.Itoa(room.Attempt), labelLease: room.Lease,
			},
		},
		HostConfig: host,
		Platform:   ociPlatform(room.Platform),
	})
	c.id, c.started = made.ID, time.Now() // before the guard's word: Close has to know what was made
	if err := errors.Join(err, <-guarding); err != nil {
		return err
	}
	if _, err := r.engine.ContainerStart(ctx, c.id, client.ContainerStartOptions{}); err != nil {
		return err
	}
	c.image = <-image
	c.startWatch(ctx, ref, room)
	return nil
}

// guarded makes the guard of a build and the settings of the container that shares its network.
func (r *Runner) guarded(ctx context.Context, c *box, room workers.Room) (*container.HostConfig, error) {
	var err error
	if c.guard, err = r.guardFor(ctx, room); err != nil {
		return nil, err
	}
	c.apt = filepath.Join(r.envDir(), "apt-"+c.guard.id+".conf")
	if err := r.opts.Env.writeApt(c.apt, ""); err != nil {
		return nil, err
	}
	host := r.hostConfig(room, c.apt)
	host.Mounts = append(host.Mounts, pipesMount(c.guard.pipes))
	host.NetworkMode = container.NetworkMode("container:" + c.guard.id)
	return host, nil
}

// containerName is for people who list containers; the random end keeps what was left behind out of the way.
func containerName(room workers.Room) string {
	return "modfarm-" + safeName(room.Job) + "-" + room.Platform.Dashed() + "-" + strings.ToLower(rand.Text()[:6])
}

// ociPlatform is the engine's form of a platform. The variant v8 of arm64 is left out: engines imply it.
func ociPlatform(p module.Platform) *ocispec.Platform {
	parts := strings.Split(p.Container(), "/")
	o := &ocispec.Platform{OS: parts[0]}
	if len(parts) > 1 {
		o.Architecture = parts[1]
	}
	if len(parts) > 2 {
		o.Variant = parts[2]
	}
	return o
}

// box is one build container.
type box struct {
	r       *Runner
	id      string
	guard   *sentry
	apt     string // file with apt's settings
	image   string
	started time.Time
	cache   workers.Cache
	watch   *watch // nil before the container runs
	before  counts // at the end of the last command
	taken   *held  // what this container was taken up by; nil when this process started it
	ran     bool   // a command was started in it

	mu     sync.Mutex
	closed bool
}

// remove removes the container, and then has its guard wait for the next build, in whose network nothing of this one may
// be left.
func (c *box) remove(ctx context.Context) error {
	if c.id != "" {
		if err := c.r.remove(ctx, c.id); err != nil {
			return errors.Join(err, c.guard.close(ctx))
		}
	}
	return c.guard.retire(ctx)
}

// Image implements workers.Container.
func (c *box) Image() string { return c.image }

// digested adds to an image's name what the engine knows its content by, which a later making of it changes.
func (r *Runner) digested(ctx context.Context, ref string) string {
	got, err := r.engine.ImageInspect(ctx, ref)
	if err != nil {
		return ref // it was there a moment ago, so the next call tells
	}
	return ref + "@" + got.ID
}

// Close kills and removes the container and its guard. Its caches are named volumes and stay.
func (c *box) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.guard == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	c.endWatch(ctx)
	if err := c.remove(ctx); err != nil {
		return err
	}
	c.dropFullCache(ctx)
	c.r.useCache(c.cache)
	_ = os.Remove(c.apt) // a few bytes, and the next start of the worker removes them
	c.closed = true
	c.r.refill(ctx)
	return nil
}
