package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func newBuildRetry(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var token tokenFlags
	var wait, asJSON bool
	cmd := &cobra.Command{
		Use:   "retry BUILD [PLATFORM]",
		Short: "Build again what went wrong: one platform, or all that did not succeed",
		Long: `Build one platform of a build again, or all that failed, were refused or
cancelled: from the same commit, as the same jobs. Their logs go on where they
were, behind a line that says so. What is published stays, and cannot be built
again: a version never changes. What would only be refused again is not built.

A build that was started with a checkout token needs one again: the farm forgot it
when the build ended.

Exit status 3: the build itself failed (with --wait).`,
		Example: "  modfarm module build retry 5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11 linux/arm64 --wait",
		Args:    rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			only, err := platformArgument(args)
			if err != nil {
				return err
			}
			secret, err := token.value(lookup)
			if err != nil {
				return usageError{err}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			build, err := c.RetryBuild(cmd.Context(), args[0], only, secret)
			if err != nil {
				return err
			}
			if wait {
				return f.follow(cmd, c, build.ID, only, cmd.ErrOrStderr(), asJSON)
			}
			return printStanding(cmd.OutOrStdout(), build, asJSON)
		},
		ValidArgsFunction: completeBuilds(&f, lookup),
	}
	f.add(cmd.Flags())
	token.add(cmd.Flags())
	cmd.Flags().BoolVar(&wait, "wait", false, "stay until the build has ended, showing its log")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the build as JSON")
	return cmd
}

// platformArgument is the second argument; zero when there is none.
func platformArgument(args []string) (module.Platform, error) {
	if len(args) < 2 {
		return module.Platform{}, nil
	}
	p, err := module.ParsePlatform(args[1])
	if err != nil {
		return p, usageError{err}
	}
	return p, nil
}

// printStanding says where each platform stands.
func printStanding(w io.Writer, build client.Build, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(build)
	}
	for _, job := range build.Jobs {
		if _, err := fmt.Fprintf(w, "%s: %s\n", job.Platform, standing(job)); err != nil {
			return err
		}
	}
	return nil
}

func newBuildWhy(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why BUILD [PLATFORM]",
		Short: "Say why each platform of a build is where it is",
		Long: `Say of each platform of a build, or of one, why it is where it is: what it waits
for, its place in the line, whose builds are before it and what would have to be
true for it to go on; or why it failed, was refused or cancelled.

Builds of other organizations are only counted.`,
		Example: "  modfarm module build why 5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11 linux/arm64",
		Args:    rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			only, err := platformArgument(args)
			if err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			build, err := newWatch(c, args[0], only, io.Discard, io.Discard).look(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(build)
			}
			out := safeOutput(cmd.OutOrStdout())
			for _, job := range build.Jobs {
				fmt.Fprintf(out, "%s: %s\n", job.Platform, because(job))
				explain(out, job.Waiting)
			}
			return nil
		},
		ValidArgsFunction: completeBuilds(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the build as JSON")
	return cmd
}

// because says where a job stands and why, also when it has ended.
func because(job client.Job) string {
	if job.Terminal {
		return string(job.State) + phrase(": ", oneLine(job.Reason))
	}
	text := standing(job)
	if job.State == client.JobRunning && job.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", job.Attempt)
	}
	return text
}

// explain lists who is before a job that waits.
func explain(w io.Writer, wait *client.Waiting) {
	if wait == nil || wait.Position == 0 {
		return
	}
	if len(wait.BuildsAhead) > 0 {
		fmt.Fprintf(w, "  before it, of your organization: %s\n", strings.Join(wait.BuildsAhead, ", "))
	}
	if wait.OthersAhead > 0 {
		fmt.Fprintf(w, "  before it, of others: %d\n", wait.OthersAhead)
	}
	if !wait.HeldUntil.IsZero() {
		fmt.Fprintf(w, "  kept for a native worker until %s\n", wait.HeldUntil.UTC().Format(time.RFC3339))
	}
}
