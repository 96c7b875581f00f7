package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/workers/docker"
)

func newBuildReproduce(lookup lookupFunc) *cobra.Command {
	var f soloFlags
	var farm farmFlags
	var tokenName string
	var anyImage, allowPrivate bool
	cmd := &cobra.Command{
		Use:   "reproduce BUILD PLATFORM",
		Short: "Run a build again on this machine, in the very container that it had",
		Long: `Run one platform of a build again on this machine, as its worker did: the same
commit, the same builder image by its digest, the same strategy and variables, without
caches. When a script fails and there is a terminal, a shell opens where it ran.

Nothing is published. --output keeps the archive. Uploaded source comes from the farm,
which keeps it for a while after the build.`,
		Example: "  modfarm module build reproduce 5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11 linux/arm64",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := module.ParsePlatform(args[1])
			if err != nil {
				return usageError{err}
			}
			c, err := farm.client(lookup)
			if err != nil {
				return err
			}
			build, err := c.Build(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			job, err := jobOf(build, p)
			if err != nil {
				return err
			}
			image := ""
			if !anyImage {
				if image, err = imageOf(cmd.Context(), job); err != nil {
					return err
				}
			}
			s, err := f.prepare(cmd.Context(), lookup, image, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			s.farm.source = func(ctx context.Context, w io.Writer) error { return c.BuildSource(ctx, build, w) }
			s.pool.Fetcher = &source.Git{Policy: source.Policy{AllowPrivate: allowPrivate}}
			a := &client.Assignment{Job: job, Build: build, Strategies: []module.Strategy{job.Strategy}}
			a.Token, _ = lookup(tokenName)
			a.Job.LogSize, a.Build.Jobs, a.Build.NoCache = 0, nil, true
			return s.build(cmd.Context(), a)
		},
	}
	farm.add(cmd.Flags())
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&anyImage, "any-image", false, "use this machine's builder image, although the build had another")
	cmd.Flags().BoolVar(&allowPrivate, "allow-private-repositories", false, "fetch repositories from private and link-local addresses, and over http")
	cmd.Flags().StringVar(&tokenName, "token-env", "", "environment variable with a token that may read the repository")
	return cmd
}

func jobOf(build client.Build, p module.Platform) (client.Job, error) {
	var have []string
	for _, job := range build.Jobs {
		if job.Platform == p {
			if !job.Terminal {
				return job, hinted(fmt.Errorf("%w: %s of build %s is still %s, and only what has ended is reproduced", module.ErrConflict, p, build.ID, job.State),
					"wait for its end with 'modfarm module build watch %s', or come back later", build.ID)
			}
			if job.Strategy == module.StrategyAuto || build.Commit == "" {
				return job, fmt.Errorf("%w: %s of build %s was never begun (%s), so there is nothing to reproduce", module.ErrConflict, p, build.ID, job.Reason)
			}
			return job, nil
		}
		have = append(have, job.Platform.String())
	}
	return client.Job{}, fmt.Errorf("%w: build %s has no %s; it has %s", module.ErrNotFound, build.ID, p, strings.Join(have, ", "))
}

// imageOf finds the builder image of a job in this machine's engine, by its digest.
func imageOf(ctx context.Context, job client.Job) (string, error) {
	if job.Report == nil || job.Report.Image == "" {
		return "", hinted(fmt.Errorf("%w: the farm does not know in which image this was built", module.ErrNotFound), "use this machine's own with --any-image")
	}
	name, digest, ok := strings.Cut(job.Report.Image, "@")
	if !ok {
		digest = name
	}
	api, err := docker.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer api.Close()
	if _, err := api.ImageInspect(ctx, digest); err != nil {
		return "", hinted(fmt.Errorf("%w: this machine does not have the image %s", module.ErrNotFound, job.Report.Image),
			"take it from the worker with 'docker save %s | docker load', or use this machine's own with --any-image", name)
	}
	return digest, nil
}
