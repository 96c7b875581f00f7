package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/workers/docker/guard"
)

// newGuard is what a worker runs in the container that guards a build's
// network. Nobody else has a use for it.
func newGuard() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "guard",
		Short:  "Guard the network of a build (run by workers, in a container)",
		Hidden: true,
		Args:   exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("workers run this in a container; there is nothing to do for people")}
		},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "watch", Short: "Carry out a worker's orders from standard input", Args: exactArgs(0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return guard.Run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
			},
		},
		&cobra.Command{
			Use: "survey [HOST...]", Short: "Print what this machine's network looks like", Args: cobra.ArbitraryArgs,
			RunE: func(cmd *cobra.Command, args []string) error {
				return guard.TakeSurvey(cmd.Context(), args, cmd.OutOrStdout())
			},
		},
	)
	return cmd
}
