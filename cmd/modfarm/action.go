package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/action"
)

func newAction() *cobra.Command {
	return &cobra.Command{
		Use:   "action",
		Short: "Run as the step of a GitHub Action",
		Long: `Run as the step of a GitHub Action: read its inputs from the environment, start a
build, show its log, and write outputs and summary. action.yml runs it, and
docs/action.md tells more.

An input is the variable INPUT_ and its name in capitals, as INPUT_KEY-ID:

  url         the farm, as https://farm.example.com (required)
  key-id      the id of an API key (required)
  key-value   the API key itself (required)
  version     version to publish; empty builds and publishes nothing
  ref         tag, branch or full commit to build (default main)
  token       token that may read a private repository
  meta-path   where meta.json is in the workspace (default meta.json)
  workdir     folder of meta.json in the repository (default .)
  platforms   platforms to build, with commas (default build.arch of meta.json)
  wait        false ends the step as soon as the build has started (default true)

The outputs are build-id, version, status and artifacts.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return action.Run(cmd.Context(), action.Env{
				Getenv: os.Getenv, Stdout: cmd.OutOrStdout(), UserAgent: "modfarm-action/" + version(),
			})
		},
	}
}
