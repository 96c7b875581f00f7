// Package road drives the whole way of one version tag, from a push to a git
// server to an archive that runs: it is what the demo shows and what the
// end-to-end test asserts.
//
// It owns the surroundings (a smart HTTP git server with a token, the farm as a
// process of its own, a workflow run by act, containers that start the
// entrypoints) and the checks made on the way. It never takes the place of a
// part of the farm: every step uses the program as a user would.
package road

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Namespace is the public namespace of the organization the road's farm is
// started with; the examples' module ids stand in it.
const Namespace = "acme"

// Example is one of the modules under examples/ and what is expected of it.
type Example struct {
	// Name is the folder's name and the module's name.
	Name string
	// Probe says how a started entrypoint proves that it works.
	Probe Probe
	// Strategies is how each platform has to be built, on a machine whose
	// native platform is linux/amd64. A platform not listed is not checked.
	Strategies map[module.Platform]module.Strategy
}

// Config says where things are. All fields are required unless told otherwise.
type Config struct {
	// Root is the project's checkout: action.yml and examples/ are read from it.
	Root string
	// Dir is the folder the road works in. It is made when absent.
	Dir string
	// Modfarm and Act are paths of the two programs.
	Modfarm, Act string
	// ActionImage is the local image that the actions run, see the function.
	ActionImage string
	// Tag is the first version tag that is pushed, as v0.1.0.
	Tag string
	// Out receives progress, one line each.
	Out io.Writer
	// UpArgs are further arguments for "modfarm up". Optional.
	UpArgs []string
	// Env is added to the farm's environment. Optional.
	Env []string
}

// Artifact is one published archive that was downloaded, checked and started.
type Artifact struct {
	Module   module.ID
	Version  module.Version
	Platform module.Platform
	Strategy module.Strategy
	// Bytes is the size of the compressed archive.
	Bytes int64
	// SHA256 is the digest of the downloaded file, in hexadecimal digits.
	SHA256 string
	// Took is the time from the job's start to its end.
	Took time.Duration
}

// String is the line the demo ends with, one per artifact.
func (a Artifact) String() string {
	return fmt.Sprintf("published %s %s %s %s %d sha256:%s %.0fs",
		a.Module, a.Version, a.Platform, a.Strategy, a.Bytes, a.SHA256, a.Took.Seconds())
}

// Road is the way, opened: a git server and a farm are up. Close ends both.
type Road struct {
	cfg  Config
	git  *gitHost
	farm *Farm
	// hadToolCache says that act had run on this machine before.
	hadToolCache bool
}

// Open starts the git server and a farm with their data in cfg.Dir. A second run
// with the same folder goes on with the same farm and the same repositories, and
// pushes the next version.
func Open(ctx context.Context, cfg Config) (*Road, error) {
	for _, name := range []string{"work", "downloads", "home"} {
		if err := os.RemoveAll(filepath.Join(cfg.Dir, name)); err != nil {
			return nil, fmt.Errorf("clear the folder of the last run: %w", err)
		}
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder to work in: %w", err)
	}
	r := &Road{cfg: cfg}
	if err := removeKilled(ctx, cfg.Dir); err != nil {
		return nil, err
	}
	var err error
	if r.hadToolCache, err = hasToolCache(ctx); err != nil {
		return nil, err
	}
	if r.git, err = startGitHost(ctx, filepath.Join(cfg.Dir, "git"), filepath.Join(cfg.Dir, "git.address")); err != nil {
		return nil, err
	}
	r.say("git server    %s (smart HTTP, with a token)", r.git.server.URL)
	if r.farm, err = StartFarm(ctx, cfg); err != nil {
		return nil, errors.Join(err, r.git.close())
	}
	r.say("farm          %s (folder %s)", r.farm.url, r.farm.dir)
	return r, nil
}

// Close stops the farm (and waits until it has drained) and the git server.
func (r *Road) Close() error {
	err := errors.Join(r.farm.Stop(), r.git.close())
	if !r.hadToolCache {
		err = errors.Join(err, removeToolCache(context.Background()))
	}
	return err
}

// KeyFile is where the farm left its first API key: lines for a shell's `source`.
func (r *Road) KeyFile() string { return r.relative(filepath.Join(r.farm.dir, "api-key.env")) }

// Program is the modfarm program, as it is called from the checkout.
func (r *Road) Program() string { return r.relative(r.cfg.Modfarm) }

func (r *Road) relative(path string) string {
	return strings.TrimPrefix(path, r.cfg.Root+string(filepath.Separator))
}

// GoOn is the command that starts the farm of this road again.
func (r *Road) GoOn() string {
	args := append([]string{r.cfg.Modfarm, "up", "--data", r.farm.dir, "--listen", strings.TrimPrefix(r.farm.url, "http://")}, r.cfg.UpArgs...)
	return strings.ReplaceAll(strings.Join(args, " "), r.cfg.Root+string(filepath.Separator), "")
}

// Travel takes one example all the way and returns its artifacts, sorted by
// platform.
func (r *Road) Travel(ctx context.Context, ex Example) ([]Artifact, error) {
	if err := r.createModule(ctx, ex); err != nil {
		return nil, err
	}
	work, tag, err := r.git.publish(ctx, r.cfg, ex.Name)
	if err != nil {
		return nil, err
	}
	r.say("%-13s pushed the tag %s", ex.Name, tag)
	if err := r.runWorkflow(ctx, ex, work, tag); err != nil {
		return nil, err
	}
	return r.collect(ctx, ex)
}

// createModule makes the example's module, unless an earlier run did.
func (r *Road) createModule(ctx context.Context, ex Example) error {
	farm, err := r.farm.Client()
	if err != nil {
		return err
	}
	_, err = farm.Module(ctx, module.ID{Namespace: Namespace, Name: ex.Name})
	if !errors.Is(err, module.ErrNotFound) {
		return err
	}
	return r.farm.modfarm(ctx, "module", "create", Namespace+":"+ex.Name)
}

func (r *Road) say(format string, args ...any) {
	fmt.Fprintf(r.cfg.Out, format+"\n", args...)
}
