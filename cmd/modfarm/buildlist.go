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
	var limit int
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
			if limit < 1 {
				return usageError{fmt.Errorf("%s %d: a number from 1 on is wanted", sourceOf(cmd.Flags(), "limit"), limit)}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			builds, err := c.Builds(cmd.Context(), id, limit)
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
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many builds")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cancel BUILD",
		Short: "End what has not ended of a build",
		Long: `End every job of a build that has not ended, and print where each platform
stands then. A job that a worker has ends a little later. What is published
stays published.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			build, err := c.CancelBuild(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(build)
			}
			for _, job := range build.Jobs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", job.Platform, standing(job))
			}
			return nil
		},
		ValidArgsFunction: completeBuilds(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the build as JSON")
	return cmd
}
