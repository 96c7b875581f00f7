// Command modfarm is the whole product in one binary: the control plane, the
// worker, the builder images, the step of the GitHub Action and the client.
//
// This package owns flags, environment, wiring and exit codes. It never holds
// rules of building, publishing or resolving.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run executes the program once. The first interrupt cancels the context, which
// drains; a second one ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv)
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer, lookup lookupFunc) int {
	root := newRoot(lookup) //nolint:contextcheck // commands get the context when they run
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := unknownCommand(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err != nil {
		printFailure(stderr, interrupted(ctx, err), lookup)
	}
	return exitCode(ctx, err)
}

func newRoot(lookup lookupFunc) *cobra.Command {
	root := &cobra.Command{
		Use:   "modfarm",
		Short: "A self-hosted module build farm and module registry",
		Long: `Modfarm builds a module for every platform when its version tag is pushed,
checks what came out, and publishes it to a versioned registry.

Every flag has a twin in the environment, which its help names: --public-url is
MODFARM_PUBLIC_URL. A flag wins over its twin. Secrets are read from the
environment or from files; --token is there for scripts of stock tools.

Commands that talk to a farm use the profile that 'modfarm login' kept. The
environment wins over it, which suits pipelines:

  MODFARM_URL      the farm, as https://farm.example.com
  MODFARM_KEY_ID   the id of an API key
  MODFARM_KEY      the API key itself

Exit status: 0 done, 1 failed, 2 a mistake in the command line, 3 a build failed,
4 not found, 5 denied, 130 interrupted.`,
		Example: `  modfarm up                        # everything on this machine, on embedded defaults
  modfarm login --url https://farm.example.com
  modfarm module create acme:widget
  modfarm module build start --version 1.0.0`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return fromEnvironment(cmd.Flags(), lookup)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hinted(usageError{err}, "see '%s --help'", cmd.CommandPath())
	})
	root.PersistentFlags().String("profile", "", "the login to use, as 'modfarm profiles list' names it (default the current one)")
	root.AddCommand(newUp(lookup), newServe(lookup), newWorker(lookup), newImages(lookup), newCache(lookup), newAction(),
		newModule(lookup), newLogin(lookup), newLogout(lookup), newWhoami(lookup), newProfiles(lookup),
		newOrg(lookup), newKey(lookup),
		newGitHub(lookup), newDoctor(lookup), newGuard(), newMan(), newVersion())
	ownNames(root)
	showTwins(root)
	completeFlags(root)
	return root
}
