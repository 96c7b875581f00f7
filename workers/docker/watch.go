package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

// watch looks after one container from its start to its end, beside the commands that run in it.
type watch struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when nothing of the watch is left
	ready  chan struct{} // closed when the first count is done, or there will be none
	over   chan struct{} // closed when the build was stopped
	once   sync.Once
	why    error // set before over is closed
	disk   diskWatch
}

func (w *watch) stop(why error) {
	w.once.Do(func() {
		w.why = why
		close(w.over)
	})
}

// startWatch begins to watch the disk that a started container takes.
func (c *box) startWatch(ctx context.Context, ref string, room workers.Room) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &watch{cancel: cancel, ended: make(chan struct{}), ready: make(chan struct{}), over: make(chan struct{})}
	w.disk = diskWatch{limit: c.r.limits.Disk, stop: w.stop, first: sync.OnceFunc(func() { close(w.ready) })}
	c.watch = w
	go func() {
		defer close(w.ended)
		defer w.disk.first()
		err := c.watchDisk(ctx, w, ref, room)
		if err != nil && ctx.Err() == nil { // a build that cannot be bounded does not go on
			w.stop(fmt.Errorf("%w: the disk that the build takes cannot be measured: %w", module.ErrUnavailable, err))
		}
	}()
}

func (c *box) watchDisk(ctx context.Context, w *watch, ref string, room workers.Room) (err error) {
	w.disk.meter, err = c.meter(ctx, ref, room)
	if w.disk.meter != nil {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
			defer cancel()
			err = errors.Join(err, w.disk.meter.close(ctx))
		}()
	}
	if err != nil {
		return err
	}
	return w.disk.run(ctx)
}

// meter finds out how the disk of a container can be measured.
func (c *box) meter(ctx context.Context, ref string, room workers.Room) (meter, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := c.r.engine.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	if err != nil {
		return nil, err
	}
	var layer, cache string
	if g := got.Container.GraphDriver; g != nil {
		layer = g.Data["UpperDir"]
	}
	for _, m := range got.Container.Mounts {
		if m.Destination == workers.CachePath {
			cache = m.Source
		}
	}
	here := []string{room.Folder, layer}
	if cache != "" {
		here = append(here, cache)
	}
	if !c.r.byHelper && layer != "" && canCountHere(here...) {
		return &hostMeter{workspace: room.Folder, layer: layer, cache: cache}, nil
	}
	mounts := []mount.Mount{{Type: mount.TypeBind, Source: room.Folder, Target: helperWorkspace}}
	if layer != "" {
		mounts = append(mounts, mount.Mount{Type: mount.TypeBind, Source: layer, Target: helperLayer})
	}
	if room.Cache.Key != "" {
		mounts = append(mounts, mount.Mount{Type: mount.TypeVolume, Source: cacheVolume(room.Cache.Key), Target: helperCache})
	}
	labels := maps.Clone(got.Container.Config.Labels)
	m, err := c.r.newHelperMeter(ctx, ref, room.Platform, c.id, labels, mounts)
	if m == nil { // no meter, not one that is nil inside
		return nil, err
	}
	return m, err
}

// bounded ends a context when the watch stops the build. The function it returns frees what that takes.
func (c *box) bounded(ctx context.Context) (context.Context, func()) {
	if c.watch == nil {
		return ctx, func() {}
	}
	c.awaitWatch(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-c.watch.over:
			cancel(c.watch.why)
		case <-done:
		}
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

// awaitWatch gives the first count a little time: what a cache held before is known by it.
func (c *box) awaitWatch(ctx context.Context) {
	timer := time.NewTimer(firstCount)
	defer timer.Stop()
	select {
	case <-c.watch.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// firstCount bounds how long the first command waits for the first count, which is there at once unless the disk is
// cold or a helper has to be started.
const firstCount = 2 * time.Second

// endWatch returns when nothing of the watch is left.
func (c *box) endWatch(ctx context.Context) {
	if c.watch == nil {
		return
	}
	c.watch.cancel()
	select {
	case <-c.watch.ended:
	case <-ctx.Done():
		c.r.log().WarnContext(ctx, "the watch over a build does not end", "container", c.id)
	}
}

// dropFullCache removes a cache that outgrew what a build may take, and one that did most to get its build stopped:
// the next build would begin with it, and a module could fill the disk over many builds.
func (c *box) dropFullCache(ctx context.Context) {
	if c.watch == nil || c.cache.Key == "" {
		return
	}
	select {
	case <-c.watch.ended:
	default:
		return // it did not end in time
	}
	disk, limit := &c.watch.disk, c.r.limits.Disk
	if disk.last.wholeCache <= limit && (disk.last.sum() <= limit || disk.last.cache <= limit/2) {
		return
	}
	_, err := c.r.engine.VolumeRemove(ctx, cacheVolume(c.cache.Key), client.VolumeRemoveOptions{})
	c.r.log().InfoContext(ctx, "a cache outgrew the disk limit of a build and is removed", "cache", c.cache.Key,
		"bytes", disk.last.wholeCache, "error", err) // another build may use it, and then it stays until that ends
}
