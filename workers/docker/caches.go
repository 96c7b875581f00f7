package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
)

// Cache is a volume in which builds of one module for one platform keep what compilers and package managers fetched.
type Cache struct {
	// Name is the volume's.
	Name string `json:"name"`
	// Worker made it.
	Worker string `json:"worker"`
	// Module, Platform and Scope ("release" or "other") say whose it is; empty for what an earlier version made.
	Module   string `json:"module,omitempty"`
	Platform string `json:"platform,omitempty"`
	Scope    string `json:"scope,omitempty"`
	// Size is in bytes; -1 when the engine does not tell.
	Size int64 `json:"size"`
	// UsedAt is when a build used it last, as far as this work folder knows, and when it was made otherwise.
	UsedAt time.Time `json:"used_at"`
	// UseUnknown says that this work folder does not know, so that UsedAt is when it was made.
	UseUnknown bool `json:"use_unknown,omitempty"`
	// InUse says that a container has it mounted.
	InUse bool `json:"in_use"`
}

// Caches are those of an engine.
type Caches struct {
	// Engine has the volumes.
	Engine *client.Client
	// WorkDir is the worker's, which remembers when a cache was used last.
	WorkDir string
	// Worker limits all to the caches of this worker; empty for every worker's.
	Worker string
}

// cachesTimeout bounds looking at all caches of an engine, which counts their files.
const cachesTimeout = 10 * time.Minute

func cacheVolume(key string) string { return "modfarm-cache-" + safeName(key) }

func (r *Runner) cacheLabels(c workers.Cache) map[string]string {
	return map[string]string{
		labelCache: c.Key, labelOwner: r.opts.Name, labelModule: c.Module, labelPlatform: c.Platform, labelScope: c.Scope,
	}
}

// useCache notes that a cache is used now. A note that cannot be made lets the cache look older than it is.
func (r *Runner) useCache(c workers.Cache) {
	if c.Key == "" {
		return
	}
	now, file := time.Now(), filepath.Join(r.opts.WorkDir, "caches", cacheVolume(c.Key))
	err := os.Chtimes(file, now, now)
	if errors.Is(err, os.ErrNotExist) {
		err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o600), os.Chtimes(file, now, now))
	}
	if err != nil {
		r.log().Debug("note the use of a cache", "file", file, "error", err)
	}
}

// List returns the caches, the one that was used last first.
func (c *Caches) List(ctx context.Context) ([]Cache, error) {
	ctx, cancel := context.WithTimeout(ctx, cachesTimeout)
	defer cancel()
	label := labelOwner
	if c.Worker != "" {
		label += "=" + c.Worker
	}
	found, err := c.Engine.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		return nil, fmt.Errorf("list the caches: %w", err)
	}
	used, err := c.inUse(ctx)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	list := make([]Cache, 0, len(found.Items))
	for _, v := range found.Items {
		one := Cache{
			Name: v.Name, Worker: v.Labels[labelOwner], Module: v.Labels[labelModule], Platform: v.Labels[labelPlatform],
			Scope: v.Labels[labelScope], Size: -1, InUse: used[v.Name],
		}
		one.UsedAt, _ = time.Parse(time.RFC3339, v.CreatedAt) // an unknown time is very old
		info, err := os.Stat(filepath.Join(c.WorkDir, "caches", v.Name))
		if one.UseUnknown = err != nil; !one.UseUnknown {
			one.UsedAt = info.ModTime()
		}
		one.UsedAt = one.UsedAt.UTC()
		if canCountHere(v.Mountpoint) {
			one.Size, err = sizeOf(ctx, v.Mountpoint)
		} else if one.Size, err = c.askedSize(ctx, v.Name, sizes); err != nil {
			return nil, err
		}
		if err != nil && ctx.Err() != nil {
			return nil, fmt.Errorf("count the cache %s: %w", v.Name, err)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Cache) int { return cmp.Or(b.UsedAt.Compare(a.UsedAt), cmp.Compare(a.Name, b.Name)) })
	return list, nil
}

// inUse are the volumes that containers have, running or not.
func (c *Caches) inUse(ctx context.Context) (map[string]bool, error) {
	containers, err := c.Engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", labelWorker)})
	if err != nil {
		return nil, fmt.Errorf("list the containers of builds: %w", err)
	}
	used := map[string]bool{}
	for _, container := range containers.Items {
		for _, m := range container.Mounts {
			used[m.Name] = true
		}
	}
	return used, nil
}

// askedSize is a size as the engine counts it, which it does for all volumes at once.
func (c *Caches) askedSize(ctx context.Context, name string, sizes map[string]int64) (int64, error) {
	if len(sizes) == 0 {
		got, err := c.Engine.DiskUsage(ctx, client.DiskUsageOptions{Volumes: true, Verbose: true})
		if err != nil {
			return -1, fmt.Errorf("ask for the sizes of the caches: %w", err)
		}
		for _, v := range got.Volumes.Items {
			if v.UsageData != nil {
				sizes[v.Name] = v.UsageData.Size
			}
		}
	}
	if size, ok := sizes[name]; ok {
		return size, nil
	}
	return -1, nil
}

// Prune removes the caches that were used longest ago until what is left takes keep bytes at most, and those that were
// not used since unused, when that is not zero. What a build uses stays. It returns what it removed.
func (c *Caches) Prune(ctx context.Context, keep int64, unused time.Time) (removed []Cache, err error) {
	list, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, one := range list {
		total += max(0, one.Size)
	}
	var errs []error
	for _, one := range slices.Backward(list) {
		if one.InUse || total <= keep && (one.UseUnknown || !one.UsedAt.Before(unused)) {
			continue
		}
		_, err := c.Engine.VolumeRemove(ctx, one.Name, client.VolumeRemoveOptions{})
		switch {
		case errdefs.IsConflict(err): // a build was faster
			continue
		case err != nil && !errdefs.IsNotFound(err):
			errs = append(errs, fmt.Errorf("remove the cache %s: %w", one.Name, err))
			continue
		}
		_ = os.Remove(filepath.Join(c.WorkDir, "caches", one.Name)) // a few bytes, of a name that may come again
		total -= max(0, one.Size)
		removed = append(removed, one)
	}
	return removed, errors.Join(errs...)
}

// tendEvery is how often a worker looks at the sizes of its caches.
const tendEvery = 10 * time.Minute

// TendCaches keeps the caches of this worker within limit bytes until ctx ends. What was used longest ago goes first.
func (r *Runner) TendCaches(ctx context.Context, limit int64) error {
	caches := &Caches{Engine: r.engine, WorkDir: r.opts.WorkDir, Worker: r.opts.Name}
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		removed, err := caches.Prune(ctx, limit, time.Time{})
		if err != nil && ctx.Err() == nil {
			r.log().WarnContext(ctx, "caches could not be kept within their limit", "error", err)
		}
		for _, one := range removed {
			r.log().InfoContext(ctx, "a cache was removed to make room", "module", one.Module, "platform", one.Platform, "bytes", one.Size,
				"used", one.UsedAt)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// CacheLimit is how much caches may take where the worker's owner does not say: 20 GiB, or a quarter of what is free
// below the work folder where that is less.
func CacheLimit(workDir string) int64 {
	const most, share = 20 << 30, 4
	if free := freeBelow(workDir); free > 0 {
		return min(most, free/share)
	}
	return most
}
