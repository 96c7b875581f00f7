// Command modfarm is the whole product in one binary: the control plane, the
// worker, the builder images, the step of the GitHub Action and the client.
//
// This package owns flags, environment, wiring and exit codes. It never holds
// rules of building, publishing or resolving.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/module"
)

// Exit codes. Scripts rely on them; docs/operate.md lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitBuildFailed = 3
	exitInterrupted = 130
)

// usageError marks a mistake in the command line itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

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
	if err == nil {
		return exitOK
	}
	// "Try again later" is for callers of an API: what ends a command at its start says the cure itself.
	fmt.Fprintln(safeOutput(stderr), "modfarm:", strings.TrimPrefix(err.Error(), module.ErrUnavailable.Error()+": "))
	var usage usageError
	switch {
	case errors.Is(err, errBuildFailed), errors.Is(err, errBuildCancelled):
		return exitBuildFailed
	case errors.As(err, &usage):
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

func newRoot(lookup lookupFunc) *cobra.Command {
	root := &cobra.Command{
		Use:   "modfarm",
		Short: "A self-hosted module build farm and module registry",
		Long: `Modfarm builds a module for every platform when its version tag is pushed,
checks what came out, and publishes it to a versioned registry.

Every flag has a twin in the environment, which its help names: --public-url is
MODFARM_PUBLIC_URL. A flag wins over its twin. Secrets are read from the
environment or from files, never from flags.

What the commands for modules and builds need:

  MODFARM_URL      the farm, as https://farm.example.com
  MODFARM_KEY_ID   the id of an API key
  MODFARM_KEY      the API key itself`,
		Example: `  modfarm up                        # everything on this machine, on embedded defaults
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
		return usageError{fmt.Errorf("%w\nsee '%s --help'", err, cmd.CommandPath())}
	})
	root.AddCommand(newUp(lookup), newServe(lookup), newWorker(lookup), newImages(lookup), newAction(),
		newModule(lookup), newGuard(), newVersion())
	showTwins(root)
	completeFlags(root)
	return root
}
