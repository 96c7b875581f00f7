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
	"strings"
	"sync"
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
	// Exchange turns the workflow's identity into a key; nil for the client's own.
	Exchange func(ctx context.Context, cfg client.Config, idToken, organization string) (client.WorkflowKey, error)
	// UserAgent names the program to the farm; empty for the client's own.
	UserAgent string
	// Poll is how long to wait between looks at a build that nothing happens in; zero for 2 s.
	Poll time.Duration
}

// Farm is what the step needs of a farm. A client.Client is one.
type Farm interface {
	Starter
	Watcher
	Publisher
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

// Publisher takes archives that were built elsewhere. Releases tells what a version has already.
type Publisher interface {
	Module(ctx context.Context, id module.ID) (client.ModuleInfo, error)
	Releases(ctx context.Context, id module.ID, v module.Version) ([]module.Release, error)
	Upload(ctx context.Context, u client.NewUpload, file io.ReadSeeker, progress func(sent, total int64)) (client.Uploaded, error)
}

// farewell bounds what is still done after the workflow was cancelled: a runner kills a step 10 s later.
const farewell = 6 * time.Second

const defaultPoll = 2 * time.Second

// Build is the whole step that has a farm build a commit. When ctx ends, the build is cancelled. Every error has been
// shown as an annotation; its text is safe to print, as it holds no commands to the runner.
func Build(ctx context.Context, env Env) error { return run(ctx, env, (*step).build) }

// Upload is the whole step that publishes an archive which was built elsewhere. Its errors are those of Build.
func Upload(ctx context.Context, env Env) error { return run(ctx, env, (*step).upload) }

func run(ctx context.Context, env Env, what func(*step, context.Context) error) (err error) {
	s := newStep(env)
	defer func() {
		if broken := unwritable(recover()); broken != nil {
			err = broken
		}
	}()
	s.mask()
	return what(s, ctx)
}

func (s *step) build(ctx context.Context) error {
	in, err := s.readInputs()
	if err != nil {
		return s.fail(err)
	}
	s.ignored(unreadByBuild)
	s.hint(in.metaPath, in.manifest)
	if err := s.logIn(ctx, in.access, in.farm); err != nil {
		return s.fail(err)
	}
	if s.identity == nil || !in.version.IsZero() { // a run that publishes nothing may not change what is published
		if err := s.describe(ctx, in.farm, in.metaPath, in.manifest); err != nil {
			return s.fail(err)
		}
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
	mu      sync.Mutex // for secrets: a key may be renewed while a log is read
	secrets []string
	// identity is who the workflow is; nil with a key.
	identity *identity
}

func newStep(env Env) *step {
	if env.Connect == nil {
		env.Connect = func(cfg client.Config) (Farm, error) { return client.New(cfg) }
	}
	if env.Exchange == nil {
		env.Exchange = exchangeToken
	}
	if env.Poll == 0 {
		env.Poll = defaultPoll
	}
	gh := githubactions.New(githubactions.WithWriter(env.Stdout), githubactions.WithGetenv(inputsByHand(env.Getenv)))
	return &step{env: env, gh: gh, out: env.Stdout}
}

// inputsByHand lets a shell set inputs: the runner keeps the hyphens of their names, and a shell has no such variables.
func inputsByHand(getenv func(string) string) func(string) string {
	return func(name string) string {
		value := getenv(name)
		if value == "" && strings.HasPrefix(name, "INPUT_") {
			value = getenv(strings.ReplaceAll(name, "-", "_"))
		}
		return value
	}
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

// describe makes the farm's record of the module what meta.json says.
func (s *step) describe(ctx context.Context, farm Starter, metaPath string, m *module.Manifest) error {
	if err := farm.UpdateModule(ctx, m, s.documents(metaPath, m)); err != nil {
		return fmt.Errorf("record the metadata of %s from %s (input meta-path): %w", m.ID, metaPath, err)
	}
	return nil
}

// unreadByBuild are inputs of the stock build action that change nothing, and why.
var unreadByBuild = map[string]string{ //nolint:gochecknoglobals // a constant that Go cannot spell as one
	"skip-login":    "the step always logs in",
	"skip-update":   "the module's record is always made what meta.json says",
	"skip-download": "no command line is downloaded",
}

// start asks for the build. It is not given up half way: a build that was started unseen could not be
// cancelled.
func (s *step) start(ctx context.Context, in inputs) (string, error) {
	id, err := in.farm.StartBuild(context.WithoutCancel(ctx), client.BuildRequest{
		Module: in.manifest.ID, Version: in.version, Repo: in.repo, Ref: in.ref, Token: in.token,
		Workdir: in.workdir, Distro: in.manifest.Build.Distro, Platforms: in.platforms,
		Publish: in.publish, FailFast: in.failFast,
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
	s.say("input wait is false: the step ends here and the build " + id + " goes on; to see it, with a key of this farm:")
	look := "modfarm module build logs " + id + " --wait --url " + in.url
	s.say("  " + look)
	s.summarizeStarted(in, id, look)
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
	return s.annotate(build, &w)
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
