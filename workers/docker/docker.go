// Package docker runs one build in one container of a Docker engine. It owns how such a container is shut in
// (capabilities, limits, a network of its own, no socket, no secrets), the registration and the proof of
// emulation, the caches, and the clean-up. It never decides what runs, and it never lets a value that a module
// chose reach the engine's host settings or the engine's archive calls.
package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// callTimeout bounds one call of the engine that is expected to be short.
const callTimeout = time.Minute

// Images makes the images that builds run in, and has those that archives are tried in. workers/images does, behind a few lines of adapting.
type Images interface {
	// Builder returns the name of the builder image for a platform, and makes it first when it is absent.
	// say is told what is being waited for.
	Builder(ctx context.Context, p module.Platform, distro string, say func(string)) (ref string, err error)
	// Run returns the name of the run image for a platform. The error wraps module.ErrNotFound while there is none.
	Run(ctx context.Context, p module.Platform, distro string) (ref string, err error)
}

// Options are what a Runner needs. Engine, Name, WorkDir and Images are required.
type Options struct {
	// Engine is the Docker engine; Connect makes one.
	Engine *client.Client
	// Name is the worker's name; containers of other names are never touched.
	Name string
	// WorkDir is a folder that the engine sees under the same path; jobs live below it.
	WorkDir string
	// Images makes builder images.
	Images Images
	// Limits bound each container; zero values mean sane defaults.
	Limits Limits
	// Slots is how many builds share the machine, for those defaults; zero means one.
	Slots int
	// Env is what builds are told about the world outside.
	Env BuildEnv
	// Reach is what builds reach of it.
	Reach Reach
	// Alone is how long a build goes on without this process, for the next one of the same Name and WorkDir to take it
	// up; zero for not at all. What nobody takes up ends then, and before that it may write no more than a few MB.
	Alone time.Duration
	// Guard is the program that guards the network of builds, from a container of its own: a static Linux program of
	// the engine's platform that does guard.Run for the arguments `guard watch` and guard.TakeSurvey for
	// `guard survey HOST…`. Empty for the program that this process runs, which modfarm is.
	Guard string
	// Log gets details; nil drops them.
	Log *slog.Logger
}

// Runner implements workers.Runner. Make one with New; close it in the end.
type Runner struct {
	opts    Options
	engine  *client.Client
	host    module.Platform
	limits  Limits
	network string

	guardImage  *guardImage
	guardConfig guard.Config
	spare       spare

	byHelper bool // files are never counted by this process itself
}

var _ workers.Runner = (*Runner)(nil)

// Connect opens the engine that the environment names (DOCKER_HOST and its kin), the local socket by default, and
// checks that it answers. The error names the address and the cure.
func Connect(ctx context.Context) (*client.Client, error) {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("the settings for Docker are wrong: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		_ = engine.Close()
		return nil, unreachable(engine.DaemonHost(), err)
	}
	return engine, nil
}

// unreachable says why an engine does not answer, and what to do about it.
func unreachable(host string, err error) error {
	cure := "start it (systemctl start docker), or name another engine with DOCKER_HOST"
	if u, perr := url.Parse(host); perr == nil && u.Scheme == "unix" {
		switch _, serr := os.Stat(u.Path); {
		case errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "permission denied"):
			cure = "this user may not open it: add the user to the docker group, or run as root"
		case errors.Is(serr, os.ErrNotExist):
			cure = "there is no such socket: install and start Docker (Debian: apt-get install docker.io), " +
				"mount the socket when this runs in a container (-v " + u.Path + ":" + u.Path + "), or set DOCKER_HOST"
		}
	}
	return fmt.Errorf("%w: the Docker engine at %s does not answer: %w; %s", module.ErrUnavailable, host, err, cure)
}

// New prepares a Runner: it makes the worker's network and the files that containers read.
func New(ctx context.Context, opts Options) (*Runner, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*callTimeout) // small machines take long to load an image
	defer cancel()
	info, err := opts.Engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, unreachable(opts.Engine.DaemonHost(), err)
	}
	host, err := enginePlatform(info.Info.OSType, info.Info.Architecture)
	if err != nil {
		return nil, err
	}
	opts.WorkDir, err = filepath.Abs(opts.WorkDir)
	if err != nil {
		return nil, fmt.Errorf("work folder: %w", err)
	}
	r := &Runner{opts: opts, engine: opts.Engine, host: host}
	r.limits = opts.Limits.orDefaults(info.Info.MemTotal, info.Info.NCPU, opts.Slots, freeBelow(opts.WorkDir))
	if err := r.opts.Env.prepare(r.envDir()); err != nil {
		return nil, err
	}
	if err := r.checkEngine(ctx); err != nil {
		return nil, err
	}
	if err := r.makeNetwork(ctx); err != nil {
		return nil, err
	}
	if err := r.prepareGuards(ctx); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

// Close removes the worker's network. Containers are the business of those who started them.
func (r *Runner) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return errors.Join(r.spare.close(ctx), r.removeNetwork(ctx))
}

// Host is the platform that the engine runs without emulation.
func (r *Runner) Host() module.Platform { return r.host }

// Memory is what one build may take, in bytes.
func (r *Runner) Memory() int64 { return r.limits.Memory }

func (r *Runner) log() *slog.Logger {
	if r.opts.Log != nil {
		return r.opts.Log
	}
	return slog.New(slog.DiscardHandler)
}

// enginePlatform translates the engine's own words for its machine.
func enginePlatform(os, arch string) (module.Platform, error) {
	names := map[string]string{
		"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "arm32v7", "armv6l": "arm32v6",
	}
	if os != "linux" || names[arch] == "" {
		return module.Platform{}, fmt.Errorf("%w: the Docker engine runs %s/%s containers; builds need linux on amd64, arm64 or arm",
			module.ErrUnavailable, os, arch)
	}
	return module.Platform{OS: "linux", Arch: names[arch]}, nil
}

// checkEngine proves that the engine runs containers, with the limits of builds, and that it sees the work folder,
// which it does not when this process runs in a container whose folder is not the machine's: a container is made
// on a folder with a random name.
func (r *Runner) checkEngine(ctx context.Context) error {
	sentinel := filepath.Join(r.opts.WorkDir, "sentinel-"+rand.Text())
	if err := os.MkdirAll(sentinel, 0o755); err != nil {
		return fmt.Errorf("the work folder %s is not writable: %w; choose another one", r.opts.WorkDir, err)
	}
	defer func() { _ = os.Remove(sentinel) }()
	err := r.runCanary(ctx, r.host, sentinel)
	if err != nil && strings.Contains(err.Error(), "setting rlimit") && r.opts.Limits.OpenFiles <= 0 {
		r.limits.OpenFiles = engineDefault // the engine itself may open fewer files than our default
		err = r.runCanary(ctx, r.host, sentinel)
	}
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "bind source path does not exist"):
		return fmt.Errorf("%w: the Docker engine does not see the work folder %s; run the worker's container with -v %s:%s",
			module.ErrUnavailable, r.opts.WorkDir, r.opts.WorkDir, r.opts.WorkDir)
	case strings.Contains(err.Error(), "setting rlimit"):
		return fmt.Errorf("%w: the Docker engine cannot give a build %d open files (%w); choose fewer",
			module.ErrUnavailable, r.limits.OpenFiles, err)
	}
	return fmt.Errorf("%w: the Docker engine cannot run a small container (%w); see that `docker run --rm hello-world` works",
		module.ErrUnavailable, err)
}
