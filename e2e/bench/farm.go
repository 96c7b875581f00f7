package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// farm is a "modfarm up" with a worker name of its own, by which its caches are
// found again and removed.
type farm struct {
	*road.Farm
	client   *client.Client
	org      string
	worker   string
	versions map[module.ID]int // built so far
}

func (l *lab) openFarm(ctx context.Context, name string, args ...string) (*farm, error) {
	f := &farm{worker: fmt.Sprintf("bench-%d-%s", os.Getpid(), name), versions: map[module.ID]int{}}
	var err error
	f.Farm, err = road.StartFarm(ctx, road.Config{
		Dir: filepath.Join(l.dir, name), Modfarm: l.modfarm,
		UpArgs: append(append(road.UpArgs(os.LookupEnv), "--name", f.worker), args...),
	})
	if err != nil {
		return nil, err
	}
	if err := f.login(ctx); err != nil {
		return nil, errors.Join(err, f.close(ctx, l.engine))
	}
	return f, nil
}

func (f *farm) login(ctx context.Context) (err error) {
	if f.client, err = f.Client(); err != nil {
		return err
	}
	orgs, err := f.client.Login(ctx)
	if err != nil {
		return err
	}
	f.org = orgs[0].ID
	return nil
}

// close stops the farm and removes the caches of its builds, also after ctx ended.
func (f *farm) close(ctx context.Context, engine *docker.Client) error {
	err := f.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	list, lerr := engine.VolumeList(ctx, docker.VolumeListOptions{
		Filters: make(docker.Filters).Add("label", "dev.modfarm.owner="+f.worker),
	})
	if lerr != nil {
		return errors.Join(err, lerr)
	}
	for _, v := range list.Items {
		_, rerr := engine.VolumeRemove(ctx, v.Name, docker.VolumeRemoveOptions{})
		err = errors.Join(err, rerr)
	}
	return err
}

// module makes a module on the farm the first time, and names its next version.
func (f *farm) module(ctx context.Context, name string) (module.ID, module.Version, error) {
	id := module.ID{Namespace: road.Namespace, Name: name}
	if f.versions[id] == 0 {
		if _, err := f.client.CreateModule(ctx, f.org, name); err != nil {
			return id, module.Version{}, err
		}
	}
	f.versions[id]++
	version, err := module.ParseVersion(fmt.Sprintf("1.0.%d", f.versions[id]))
	return id, version, err
}

// job is one build of one platform.
type job struct {
	name     string // of the module
	repo     string
	platform module.Platform
	strategy module.Strategy // that is expected
	version  module.Version  // zero for the module's next one
	ref      string          // empty for v1.0.0
	limit    time.Duration   // zero for none
}

// errLimit is the answer for a build that was ended at its limit.
var errLimit = errors.New("the build took as long as it may and was ended")

// publish has the farm build and publish a job, and returns how long that took
// from the request to when a client that waits for it learns of it.
func (f *farm) publish(ctx context.Context, j job) (time.Duration, error) {
	id, version := module.ID{Namespace: road.Namespace, Name: j.name}, j.version
	if version.IsZero() {
		var err error
		if _, version, err = f.module(ctx, j.name); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	build, err := f.client.StartBuild(ctx, client.BuildRequest{
		Module: id, Version: version, Repo: j.repo, Ref: cmp.Or(j.ref, "v1.0.0"), Platforms: []module.Platform{j.platform},
	})
	if err != nil {
		return 0, err
	}
	tail, err := f.wait(ctx, build, j.limit)
	took := time.Since(began)
	if err != nil {
		return took, err
	}
	done, err := f.client.Build(ctx, build)
	if err != nil {
		return 0, err
	}
	if got := done.Jobs[0]; got.State != client.JobPublished || got.Strategy != j.strategy {
		return 0, fmt.Errorf("the build of %s for %s ended %s (%s, expected %s): %s\n%s",
			j.name, j.platform, got.State, got.Strategy, j.strategy, got.Reason, tail)
	}
	return took, nil
}

// wait follows the log to its end, as a person would, and returns the end of it.
func (f *farm) wait(ctx context.Context, id string, limit time.Duration) (tail string, err error) {
	build, err := f.client.Build(ctx, id)
	if err != nil {
		return "", err
	}
	follow, stop := context.WithCancel(ctx)
	defer stop()
	if limit > 0 {
		follow, stop = context.WithTimeout(ctx, limit)
		defer stop()
	}
	err = f.client.FollowLog(follow, build.Jobs[0].ID, 0, func(c client.LogChunk) error {
		const most = 4000
		tail += string(c.Data)
		tail = tail[max(0, len(tail)-most):]
		return nil
	})
	if follow.Err() == nil || ctx.Err() != nil {
		return tail, err
	}
	if _, err := f.client.CancelBuild(ctx, id); err != nil {
		return tail, err
	}
	return tail, errLimit
}
