// Package action is a step of a GitHub workflow: the step's environment in; log groups, annotations,
// outputs and a job summary out. It owns what the Action promises in action.yml. It never builds
// anything and never talks to GitHub other than by the runner's files and commands.
package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/sethvargo/go-githubactions"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// ErrBuildFailed means that the step did its work and a platform was not built; anything else that Run
// returns means that the step could not ask for the build or watch it.
var ErrBuildFailed = errors.New("the build failed")

// Env is what a step has around it.
type Env struct {
	// Getenv reads the environment of the step.
	Getenv func(name string) string
	// Stdout is what the runner reads commands from.
	Stdout io.Writer
	// Connect makes the client of a farm; nil for client.New.
	Connect func(client.Config) (Farm, error)
	// UserAgent names the program to the farm; empty for the client's own.
	UserAgent string
	// Poll is how long to wait between looks at a build that nothing happens in; zero for 2 s.
	Poll time.Duration
}

// Farm is what the step needs of a farm. A client.Client is one.
type Farm interface {
	Starter
	Watcher
}

// Starter checks the key, records the module's metadata and starts builds.
type Starter interface {
	Login(ctx context.Context) ([]client.Organization, error)
	UpdateModule(ctx context.Context, m *module.Manifest, docs map[string]string) error
	StartBuild(ctx context.Context, r client.BuildRequest) (string, error)
}

// Watcher follows a build to its end, or ends it. FollowLog returns nil when the job has ended and all
// of its log was emitted.
type Watcher interface {
	Build(ctx context.Context, id string) (client.Build, error)
	FollowLog(ctx context.Context, jobID string, offset int64, emit func(client.LogChunk) error) error
	CancelBuild(ctx context.Context, id string) (client.Build, error)
}

// farewell bounds what is still done after the workflow was cancelled: a runner kills a step 10 s later.
const farewell = 6 * time.Second

const defaultPoll = 2 * time.Second

// Run is the whole step. When ctx ends, the build is cancelled. Every error has been shown as an
// annotation; its text is safe to print, as it holds no commands to the runner.
func Run(ctx context.Context, env Env) (err error) {
	s := newStep(env)
	defer func() {
		if broken := unwritable(recover()); broken != nil {
			err = broken
		}
	}()
	s.mask()
	in, err := s.readInputs()
	if err != nil {
		return s.fail(err)
	}
	s.hint(in)
	if err := s.prepare(ctx, in); err != nil {
		return s.fail(err)
	}
	id, err := s.start(ctx, in)
	if err != nil {
		return s.fail(err)
	}
	if !in.wait {
		return s.leave(id, in)
	}
	return s.follow(ctx, id, in)
}

// step is one run of the Action.
type step struct {
	env     Env
	gh      *githubactions.Action
	out     io.Writer
	secrets []string
}

func newStep(env Env) *step {
	if env.Connect == nil {
		env.Connect = func(cfg client.Config) (Farm, error) { return client.New(cfg) }
	}
	if env.Poll == 0 {
		env.Poll = defaultPoll
	}
	gh := githubactions.New(githubactions.WithWriter(env.Stdout), githubactions.WithGetenv(env.Getenv))
	return &step{env: env, gh: gh, out: env.Stdout}
}

// unwritable turns the library's panic when it cannot write into an error; other panics go on.
func unwritable(recovered any) error {
	if recovered == nil {
		return nil
	}
	err, ok := recovered.(error)
	if _, bug := recovered.(runtime.Error); !ok || bug {
		panic(recovered) //nolint:forbidigo // it was one before; only the library's are errors
	}
	return fmt.Errorf("write to the runner: %w", err)
}

// prepare checks the key, and makes the farm's record of the module what meta.json says.
func (s *step) prepare(ctx context.Context, in inputs) error {
	if _, err := in.farm.Login(ctx); err != nil {
		return loginError(in, err)
	}
	docs := s.documents(in.manifest)
	if err := in.farm.UpdateModule(ctx, in.manifest, docs); err != nil {
		return fmt.Errorf("record the metadata of %s from %s (input meta-path): %w", in.manifest.ID, in.metaPath, err)
	}
	return nil
}

func loginError(in inputs, err error) error {
	switch {
	case errors.Is(err, module.ErrUnauthorized), errors.Is(err, module.ErrForbidden):
		return fmt.Errorf("input key-id %q: the farm at %s does not accept this key with the given key-value (%w); "+
			"check that both secrets belong to one key of this farm", in.keyID, in.url, err)
	case errors.Is(err, module.ErrUnavailable):
		return fmt.Errorf("input url %q: %w; a farm behind a firewall needs a runner that can reach it", in.url, err)
	default:
		return fmt.Errorf("log in to %s: %w", in.url, err)
	}
}

// start asks for the build. It is not given up half way: a build that was started unseen could not be
// cancelled.
func (s *step) start(ctx context.Context, in inputs) (string, error) {
	id, err := in.farm.StartBuild(context.WithoutCancel(ctx), client.BuildRequest{
		Module: in.manifest.ID, Version: in.version, Repo: in.repo, Ref: in.ref, Token: in.token,
		Workdir: in.workdir, Distro: in.manifest.Build.Distro, Platforms: in.platforms,
	})
	if err != nil {
		return "", fmt.Errorf("start the build of %s at %s (input ref): %w", in.manifest.ID, in.ref, err)
	}
	s.setOutput("build-id", id)
	s.say(fmt.Sprintf("build %s of %s %s at %s", id, in.manifest.ID, versionText(in.version), in.ref))
	return id, nil
}

// leave ends a step that does not wait.
func (s *step) leave(id string, in inputs) error {
	s.report(result{Status: statusStarted, Version: in.version.String()})
	s.say("input wait is false: the step ends here and the build " + id + " goes on")
	return nil
}

// follow shows the logs until every platform has ended, and tells how it went.
func (s *step) follow(ctx context.Context, id string, in inputs) error {
	w := watch{step: s, farm: in.farm, id: id}
	build, err := w.run(ctx)
	if ctx.Err() != nil {
		return s.fail(s.cancel(ctx, id, in))
	}
	if err != nil {
		return s.fail(fmt.Errorf("follow the build %s: %w", id, err))
	}
	r := resultOf(build, in.version)
	s.sayResult(r)
	s.report(r)
	s.summarize(build, r)
	return s.annotate(build, w.tails)
}

// cancel ends the build of a workflow that was cancelled, and says so as an error. A build that
// several workflows asked for is one build, and ends for all of them.
func (s *step) cancel(ctx context.Context, id string, in inputs) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer done()
	build, err := in.farm.CancelBuild(ctx, id)
	if err != nil {
		s.report(result{Status: statusCancelled, Version: in.version.String()})
		return fmt.Errorf("the workflow was cancelled, but its build %s goes on: %w", id, err)
	}
	r := resultOf(build, in.version)
	r.Status = statusCancelled
	s.report(r)
	return fmt.Errorf("the workflow was cancelled, and its build %s with it: %w", id, context.Canceled)
}

func versionText(v module.Version) string {
	if v.IsZero() {
		return "(no version, publishes nothing)"
	}
	return v.String()
}
