package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func newBuild(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{Use: "build", Short: "Start builds, watch, cancel and retry them"}
	cmd.AddCommand(newBuildStart(lookup), newBuildList(lookup), newBuildLogs(lookup), newBuildWatch(lookup), newBuildWhy(lookup),
		newBuildCancel(lookup), newBuildRetry(lookup), newBuildLocal(lookup), newBuildReproduce(lookup))
	return cmd
}

// startFlags say what to build.
type startFlags struct {
	farm                   farmFlags
	manifest, version, ref string
	workdir, distro        string
	token                  tokenFlags
	source                 sourceFlags
	platforms              []string
	publish                string
	wait, json, noCache    bool
	failFast               bool
}

func (f *startFlags) add(flags *pflag.FlagSet) {
	f.farm.add(flags)
	flags.StringVar(&f.manifest, "module", "meta.json", "the module's meta.json")
	flags.StringVar(&f.version, "version", "", "version to publish; without one the build publishes nothing")
	flags.StringVar(&f.ref, "ref", "main", "tag, branch or commit")
	flags.StringVar(&f.workdir, "workdir", ".", "folder of meta.json in the repository")
	flags.StringVar(&f.distro, "distro", "", "Debian release to build on (default the one of meta.json)")
	f.token.add(flags)
	flags.StringSliceVar(&f.platforms, "platforms", nil, "platforms to build (default build.arch of meta.json)")
	flags.BoolVar(&f.noCache, "no-cache", false, "build without what earlier builds kept, and keep nothing for later ones")
	flags.StringVar(&f.publish, "publish", "", "each publishes platforms as they finish, all of them together or none (default what modfarm.yaml says)")
	flags.BoolVar(&f.failFast, "fail-fast", false, "cancel the other platforms when one fails")
	f.source.add(flags)
	flags.BoolVar(&f.wait, "wait", false, "stay until the build has ended, showing its log")
	flags.BoolVar(&f.json, "json", false, "print the build as JSON, with --wait at its end, instead of its id")
}

// request reads meta.json and the flags; mistakes in flags come all at once.
func (f *startFlags) request(lookup lookupFunc) (client.BuildRequest, error) {
	manifest, err := readManifest(f.manifest)
	if err != nil {
		return client.BuildRequest{}, err
	}
	r := client.BuildRequest{
		Module: manifest.ID, Repo: manifest.URL, Ref: f.ref, Workdir: f.workdir, NoCache: f.noCache,
		Publish: module.Publish(f.publish), FailFast: f.failFast,
		Distro: cmp.Or(f.distro, manifest.Build.Distro), Platforms: manifest.Build.Arch,
	}
	var faults []error
	if r.Repo == "" && !f.source.on {
		faults = append(faults, fmt.Errorf("%s: url is empty: write the repository's https address there", f.manifest))
	}
	if f.version != "" {
		r.Version, err = module.ParseTag(f.version)
		faults = append(faults, err)
	}
	if f.publish != "" && r.Publish != module.PublishEach && r.Publish != module.PublishAll {
		faults = append(faults, fmt.Errorf("--publish: %q: write each or all", f.publish))
	}
	r.Token, err = f.token.value(lookup)
	faults = append(faults, err)
	if f.source.on {
		faults = append(faults, f.source.claim(&r))
	}
	if len(f.platforms) > 0 {
		r.Platforms = nil
		for _, name := range f.platforms {
			p, err := module.ParsePlatform(name)
			if err == nil && !p.Buildable() {
				err = fmt.Errorf("--platforms: %q cannot be built by a worker: publish an archive for it with 'modfarm module upload'", name)
			}
			faults = append(faults, err)
			r.Platforms = append(r.Platforms, p)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return r, usageError{err}
	}
	return r, nil
}

func newBuildStart(lookup lookupFunc) *cobra.Command {
	var f startFlags
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Build a module's repository or a folder, and publish it where a version is given",
		Long: `Build the repository that meta.json's url names, at --ref, for every platform.
Without --version the build publishes nothing. A build of a version that is under
way or published already is not started again: its id is printed, and that on
standard error.

The build id is the only line on standard output. With --wait the log, each
change of state and a verdict for each platform go to standard error. With
--json the build is printed instead, as it is then.

With --from-source the folder --path is sent and built as it is: nothing has to be
committed or pushed. Left out is what git would not commit, and .git itself. A
version then stays with that source as it does with a commit.

Exit status 3: the build itself failed (with --wait).`,
		Example: `  modfarm module build start --version 1.0.0 --ref v1.0.0 --wait
  modfarm module build start --from-source --platforms linux/amd64 --wait`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, err := f.request(lookup)
			if err != nil {
				return err
			}
			c, err := f.farm.client(lookup)
			if err != nil {
				return err
			}
			return f.start(cmd, c, request)
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// start starts the build and stays with it as the flags say.
func (f *startFlags) start(cmd *cobra.Command, c *client.Client, request client.BuildRequest) error {
	before, err := knownBuilds(cmd.Context(), c, request)
	if err != nil {
		return err
	}
	var id string
	if f.source.on {
		id, err = f.source.start(cmd, c, request)
	} else {
		id, err = c.StartBuild(cmd.Context(), request)
	}
	if err != nil {
		return err
	}
	if !f.json {
		fmt.Fprintln(cmd.OutOrStdout(), id)
	}
	if old, known := before[id]; known {
		fmt.Fprintln(cmd.ErrOrStderr(), existing(old))
	}
	if f.wait {
		return f.farm.follow(cmd, c, id, module.Platform{}, cmd.ErrOrStderr(), f.json)
	}
	if !f.json {
		return nil
	}
	build, err := c.Build(cmd.Context(), id)
	if err != nil {
		return err
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(build)
}

// manyBuilds is how far back a build that exists already is looked for.
const manyBuilds = 100

// knownBuilds are the builds that a request may turn out to repeat, by id. The
// farm answers such a request with the old build's id alone.
func knownBuilds(ctx context.Context, c *client.Client, r client.BuildRequest) (map[string]client.Build, error) {
	if r.Version.IsZero() {
		return nil, nil //nolint:nilnil // builds without a version are always new
	}
	builds, err := c.Builds(ctx, r.Module, manyBuilds)
	if err != nil && !errors.Is(err, module.ErrNotFound) && !errors.Is(err, module.ErrForbidden) {
		return nil, err // otherwise starting says it better
	}
	known := map[string]client.Build{}
	for _, b := range builds {
		known[b.ID] = b
	}
	return known, nil
}

// existing says that nothing new is built.
func existing(b client.Build) string {
	state := "is under way since"
	if b.Done() {
		state = "exists already, from"
	}
	return fmt.Sprintf("this build of %s %s %s %s: nothing new is built", b.Module, b.Version, state, b.CreatedAt.UTC().Format(time.DateTime+" MST"))
}

// follow watches a build to its end and says how each platform ended.
func (f *farmFlags) follow(cmd *cobra.Command, c *client.Client, id string, only module.Platform, log io.Writer, asJSON bool) error {
	build, err := follow(cmd.Context(), c, id, only, log, cmd.ErrOrStderr())
	if err != nil {
		return f.left(cmd.Context(), id, err)
	}
	failed := verdict(cmd.ErrOrStderr(), build)
	if asJSON {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(build); err != nil {
			return err
		}
	}
	return failed
}

// left is what the end of watching says: after an interrupt that the build goes on.
func (f *farmFlags) left(ctx context.Context, id string, err error) error {
	if ctx.Err() != nil {
		return leftError{build: id, flags: f.again()}
	}
	return err
}

// tokenFlags name a token that may read a private repository.
type tokenFlags struct{ token, variable string }

func (f *tokenFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.token, "token", "", "token that may read the repository; it shows in the list of processes, so --token-env is better")
	flags.StringVar(&f.variable, "token-env", "", "environment variable with that token")
}

// value is the token; empty for none.
func (f *tokenFlags) value(lookup lookupFunc) (string, error) {
	if f.variable == "" {
		return f.token, nil
	}
	token, _ := lookup(f.variable)
	if token == "" {
		return "", fmt.Errorf("--token-env: %s is not in the environment", f.variable)
	}
	return token, nil
}
