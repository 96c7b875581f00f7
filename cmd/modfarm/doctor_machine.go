package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/farm/redis"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/binfmt"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/images"
)

// Free disk below which a farm works, but not for long, and below which it does not: a builder image takes about
// 1.2 GB, and a build its workspace and caches.
const (
	littleDisk = 20 << 30
	noDisk     = 2 << 30
)

func (d *doctorFlags) program(context.Context) []finding {
	f := finding{Verdict: verdictOK, Detail: fmt.Sprintf("modfarm %s, %s, %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)}
	if strings.HasPrefix(version(), "dev") {
		f.Verdict, f.Mend = verdictWarning, "this is no release: use one where it matters"
	}
	return []finding{f}
}

func (d *doctorFlags) disk(context.Context) []finding {
	free, err := freeDisk(d.data)
	if err != nil {
		return []finding{{Verdict: verdictSkipped, Detail: fmt.Sprintf("%s: %v", d.data, err)}}
	}
	f := finding{Verdict: verdictOK, Detail: fmt.Sprintf("%s free for %s", units.BytesSize(float64(free)), d.data)}
	if free < littleDisk {
		f.Verdict, f.Mend = verdictWarning, "free some, or put --data on a larger disk; 'docker system df' says what the engine holds"
	}
	if free < noDisk {
		f.Verdict = verdictBad
	}
	return []finding{f}
}

func (d *doctorFlags) engine(ctx context.Context) []finding {
	if d.noDocker {
		return []finding{{Verdict: verdictSkipped, Detail: "--no-docker"}}
	}
	engine, err := docker.Connect(ctx)
	if err != nil {
		return []finding{{Verdict: verdictBad, Detail: err.Error(), Mend: "start the engine, or name it with DOCKER_HOST; --no-docker where no worker is to run"}}
	}
	defer engine.Close()
	info, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return []finding{{Verdict: verdictBad, Detail: fmt.Sprintf("the engine answers and does not describe itself: %v", err), Mend: "restart it"}}
	}
	i := info.Info
	f := finding{Verdict: verdictOK, Detail: fmt.Sprintf("Docker %s, %s, %d processors, %s memory, %s", i.ServerVersion, i.Architecture, i.NCPU,
		units.BytesSize(float64(i.MemTotal)), i.Driver)}
	if i.Driver == "vfs" {
		f.Verdict, f.Mend = verdictWarning, "the storage driver vfs copies each layer: use overlay2 or fuse-overlayfs"
	}
	return []finding{f}
}

// emulation looks at what the kernel was told, and changes nothing: a worker that starts proves it with a container.
func (d *doctorFlags) emulation(context.Context) []finding {
	if d.noDocker {
		return nil
	}
	var found []finding
	for _, p := range images.Platforms() {
		if p == module.HostPlatform() {
			continue
		}
		err := binfmt.Registered(p)
		f := finding{Verdict: verdictOK, Detail: p.String() + ": the kernel runs its programs with QEMU"}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			f = finding{
				Verdict: verdictWarning, Detail: p.String() + ": no emulator is registered; builds are crossed, or need a native worker",
				Mend: "install qemu-user-static (Debian, Ubuntu) and start the worker as root once, or run a worker on such a machine",
			}
		case err != nil:
			f = finding{Verdict: verdictSkipped, Detail: fmt.Sprintf("%s: %v", p, err)}
		}
		found = append(found, f)
	}
	return found
}

func (d *doctorFlags) builderImages(ctx context.Context) []finding {
	if d.noDocker {
		return nil
	}
	maker, err := d.images.maker(images.BuildEnv{}, nil)
	if err != nil {
		return []finding{{Verdict: verdictBad, Detail: err.Error()}}
	}
	list, err := maker.List(ctx)
	if err != nil {
		return []finding{{Verdict: verdictSkipped, Detail: "the engine does not tell its images"}}
	}
	var have []string
	for _, image := range list {
		if image.Current {
			have = append(have, string(image.Kind)+" "+image.Platform)
		}
	}
	if len(have) == 0 {
		return []finding{{Verdict: verdictWarning, Detail: "there is no builder image yet; the first build makes it, in minutes", Mend: "modfarm images make"}}
	}
	return []finding{{Verdict: verdictOK, Detail: strings.Join(have, ", ")}}
}

func (d *doctorFlags) redisServer(ctx context.Context) []finding {
	if d.redis == "" {
		return []finding{{Verdict: verdictSkipped, Detail: "no --redis: a farm on one machine embeds one"}}
	}
	r, err := redis.Open(ctx, d.redis)
	if err != nil {
		return []finding{{Verdict: verdictBad, Detail: err.Error(), Mend: "start Redis, and look at address, user and password of --redis"}}
	}
	defer r.Close()
	return []finding{{Verdict: verdictOK, Detail: "it answers"}}
}
