package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func newBuildList(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var count int
	var one, manifest string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [MODULE]",
		Short: "List builds, newest first, with the reason of each job that waits or failed",
		Args:  maximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var id module.ID
			if len(args) == 1 {
				var err error
				if id, err = module.ParseID(args[0]); err != nil {
					return usageError{err}
				}
			}
			if manifest != "" {
				m, err := readManifest(manifest)
				if err != nil {
					return err
				}
				id = m.ID
			}
			if err := checkCount(cmd, count); err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			builds, err := listed(cmd, c, one, id, count)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(builds)
			}
			return printBuilds(cmd.OutOrStdout(), builds)
		},
		ValidArgsFunction: completeModules(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().IntVar(&count, "count", 20, "at most so many builds")
	cmd.Flags().StringVar(&one, "id", "", "only this build")
	cmd.Flags().StringVar(&manifest, "module", "", "only builds of the module that this meta.json describes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// listed are the builds that were asked for: one by its id, or the newest.
// checkCount holds that --count asks for something.
func checkCount(cmd *cobra.Command, count int) error {
	if count > 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s %d: a number from 1 on is wanted", sourceOf(cmd.Flags(), "count"), count)}
}

func listed(cmd *cobra.Command, c *client.Client, one string, id module.ID, count int) ([]client.Build, error) {
	if one == "" {
		return c.Builds(cmd.Context(), id, count)
	}
	build, err := c.Build(cmd.Context(), one)
	return []client.Build{build}, err
}

func printBuilds(w io.Writer, builds []client.Build) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BUILD\tMODULE\tVERSION\tPLATFORM\tSTATE\tSTRATEGY\tSTARTED\tREASON")
	for _, b := range builds {
		for i, j := range b.Jobs {
			reason := oneLine(j.Reason)
			if i > 0 && reason != "" && j.Reason == b.Jobs[i-1].Reason {
				reason = "as above"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, b.Module, cmp.Or(b.Version.String(), "-"), j.Platform,
				j.State, cmp.Or(string(j.Strategy), "-"), b.CreatedAt.UTC().Format(time.RFC3339), reason)
		}
	}
	return table.Flush()
}

func newBuildCancel(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var platform string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cancel BUILD",
		Short: "End what has not ended of a build, or of one platform",
		Long: `End every job of a build that has not ended, and print where each platform
stands then. A job that a worker has ends a little later. What is published
stays published. Of a build that publishes all platforms together, none is
published when one is cancelled.`,
		Example: "  modfarm module build cancel 5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11 --platform linux/arm64",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			only, err := parsePlatformFlag(cmd, platform)
			if err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			build, err := c.CancelPlatform(cmd.Context(), args[0], only)
			if err != nil {
				return err
			}
			return printStanding(cmd.OutOrStdout(), build, asJSON)
		},
		ValidArgsFunction: completeBuilds(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&platform, "platform", "", "only this platform")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the build as JSON")
	return cmd
}
