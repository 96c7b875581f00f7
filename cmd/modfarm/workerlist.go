package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// crewFlags reach a farm with the token of its workers; where it is the login knows, too.
type crewFlags struct {
	farm               farmFlags
	farmURL, tokenFile string
}

func (f *crewFlags) add(flags *pflag.FlagSet) {
	f.farm.add(flags)
	flags.StringVar(&f.farmURL, "farm", "", "the same as --url, by the name that it has for 'modfarm worker'")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the worker token of the farm (worker.token in its data folder)")
}

func (f *crewFlags) client(lookup lookupFunc) (*client.Client, error) {
	at := f.farmURL
	if at == "" {
		var err error
		if at, err = f.farm.address(lookup); err != nil {
			return nil, err
		}
	}
	token, err := workerToken(f.tokenFile, lookup)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: at, WorkerToken: token, UserAgent: "modfarm/" + version()})
}

func newWorkerList(lookup lookupFunc) *cobra.Command {
	var f crewFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the workers of a farm",
		Long: `List the workers that the farm heard of in the last minute, that have jobs, or
that are drained: what they do, how much, and the platforms that they build, with
how. It takes the worker token, as workers belong to no organization.

  ready      takes jobs
  draining   takes no more jobs: it is about to stop, or somebody drained it
  silent     has jobs, or is drained, and was not heard of in the last minute`,
		Example: "  modfarm worker list --token-file worker.token\n  modfarm worker list --url https://farm.example.com --token-file worker.token --json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			list, err := c.Workers(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return printWorkers(cmd.OutOrStdout(), list)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printWorkers(w io.Writer, list []client.Standing) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WORKER\tSTATE\tJOBS\tMEMORY\tBUILDS\tNOTE")
	for _, s := range list {
		state, note := "ready", ""
		switch {
		case s.SeenAt.IsZero():
			state = "silent"
		case s.Draining:
			state = "draining"
		}
		switch {
		case !s.DrainedAt.IsZero():
			note = "drained at " + s.DrainedAt.UTC().Format(time.RFC3339)
		case s.Draining:
			note = "it stops"
		}
		jobs, memory := fmt.Sprint(s.Running), "-"
		if s.Slots > 0 {
			jobs += fmt.Sprintf(" of %d", s.Slots)
		}
		if s.Memory > 0 {
			memory = units.BytesSize(float64(s.Memory))
		}
		fmt.Fprintln(table, strings.Join([]string{s.Name, state, jobs, memory, cmp.Or(abilities(s.Worker), "-"), note}, "\t"))
	}
	return table.Flush()
}

// abilities are the platforms of a worker, each with the best that it does for it.
func abilities(w client.Worker) string {
	var parts []string
	seen := map[module.Platform]bool{}
	for _, can := range []struct {
		how       module.Strategy
		platforms []module.Platform
	}{{module.StrategyNative, w.Native}, {module.StrategyCross, w.Cross}, {module.StrategyQEMU, w.QEMU}} {
		for _, p := range can.platforms {
			if !seen[p] {
				seen[p] = true
				parts = append(parts, fmt.Sprintf("%s (%s)", p, can.how))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// drainedWorker is what a drain changed, as --json prints it.
type drainedWorker struct {
	Worker string `json:"worker"`
	// Drained is what holds now.
	Drained bool `json:"drained"`
}

func newWorkerDrain(lookup lookupFunc) *cobra.Command {
	var f crewFlags
	var undo, asJSON bool
	cmd := &cobra.Command{
		Use:   "drain WORKER",
		Short: "Give a worker no more jobs",
		Long: `Have the farm give a worker no more jobs, until --undo. What it builds goes on;
when 'modfarm worker list' shows no jobs of it, its machine can be worked on. It is
still so after the farm or the worker was restarted.

A worker that is stopped (Ctrl-C or SIGTERM) drains by itself, and needs no undo.
A name that the farm never heard is refused.`,
		Example: `  modfarm worker drain w1 --token-file worker.token
  modfarm worker drain w1 --undo --url https://farm.example.com --token-file worker.token`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			if err := c.DrainWorker(cmd.Context(), args[0], undo); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(drainedWorker{Worker: args[0], Drained: !undo})
			}
			said := "gets no more jobs"
			if undo {
				said = "gets jobs again"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], said)
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&undo, "undo", false, "let it get jobs again")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
