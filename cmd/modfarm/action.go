package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/action"
)

func newAction() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "action",
		Short: "Run as the step of a GitHub Action",
		Long: `Run as the step of a GitHub Action: read its inputs from the environment, start a
build, show its log, and write outputs and summary. action.yml runs it, and
docs/action.md tells more.

An input is the variable INPUT_ and its name in capitals, as INPUT_KEY-ID, or with
underscores, as INPUT_KEY_ID:

  url           the farm, as https://farm.example.com (required)
  key-id        the id of an API key; without key-id and key-value the step logs in
                with the workflow's identity
  key-value     the API key itself
  organization  whom the workflow acts for, where several have linked its repository
  version       version to publish; empty builds and publishes nothing
  ref           tag, branch or full commit to build (default the workflow's commit
                where a version is given, else main)
  token         token that may read a private repository
  meta-path     where meta.json is in the workspace (default meta.json)
  workdir       folder of meta.json in the repository (default that of meta-path)
  platforms     platforms to build, with commas (default build.arch)
  publish       each or all (default what modfarm.yaml says)
  fail-fast     true cancels the other platforms when one fails (default false)
  wait          false ends the step as soon as the build has started (default true)

The outputs are build-id, version, status and artifacts.`,
		Args: exactArgs(0),
		RunE: runAction(action.Build),
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "upload",
		Short: "Publish an archive as the step of a GitHub Action",
		Long: `Publish an archive that was built elsewhere, as the step of a GitHub Action: read
the inputs from the environment, inspect the archive, send it, and write outputs and
summary. upload/action.yml runs it, and docs/action.md tells more.

An input is the variable INPUT_ and its name in capitals, as INPUT_MODULE-PATH, or
with underscores, as INPUT_MODULE_PATH:

  url, key-id, key-value, organization
               as for the build
  module-path  the archive, or a folder to pack (default module.tar.gz)
  version      version to publish (required)
  platform     whose archive it is: os/arch, os/any or any (required)
  tags         what a machine must have for it, with commas
  meta-path    where meta.json is in the workspace; empty for none, and then name and
               namespace (or org-id) say what is uploaded
  do-update    false leaves the module's record on the farm as it is
  do-upload    false only makes the record what meta.json says
  force        true accepts an entrypoint that is missing or not executable

The outputs are version, sha256, size and already-published.`,
		Args: exactArgs(0),
		RunE: runAction(action.Upload),
	})
	return cmd
}

func runAction(step func(context.Context, action.Env) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		return step(cmd.Context(), action.Env{
			Getenv: os.Getenv, Stdout: cmd.OutOrStdout(), UserAgent: "modfarm-action/" + version(),
		})
	}
}
