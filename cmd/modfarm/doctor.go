package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// Verdicts of a check, from good to bad. What was not looked at is skipped.
const (
	verdictOK      = "ok"
	verdictSkipped = "skipped"
	verdictWarning = "warning"
	verdictBad     = "bad"
)

// finding is what a check found: a verdict, what was seen, and the command or change that mends it.
type finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	Mend    string `json:"mend,omitempty"`
}

// checkTimeout bounds one check: a doctor that hangs is no help.
const checkTimeout = 15 * time.Second

// doctorFlags say what is looked at.
type doctorFlags struct {
	farm             farmFlags
	images           imageFlags
	data, redis      string
	asJSON, noDocker bool
}

func newDoctor(lookup lookupFunc) *cobra.Command {
	var d doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what would keep a farm, a worker or a client from working here",
		Long: `Look at this machine and at the farm of the login, change nothing, and say for
each thing whether it is fit and which command mends it.

It ends with status 1 when something is bad; warnings are no failure.`,
		Example: "  modfarm doctor\n  modfarm doctor --no-docker          # a machine that only uses a farm\n  modfarm doctor --redis redis://10.0.0.5:6379/0 --json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := d.examine(cmd.Context(), lookup)
			if err := d.show(cmd.OutOrStdout(), colours(cmd.OutOrStdout(), lookup), findings); err != nil {
				return err
			}
			return sum(findings)
		},
	}
	d.farm.add(cmd.Flags())
	d.images.add(cmd.Flags())
	cmd.Flags().StringVar(&d.data, "data", "modfarm-data", "the farm's data folder, or where it would be")
	cmd.Flags().StringVar(&d.redis, "redis", "", "the farm's Redis, as redis://user:password@host:6379/0 (default none: a farm on one machine embeds one)")
	cmd.Flags().BoolVar(&d.noDocker, "no-docker", false, "leave out what only workers need")
	cmd.Flags().BoolVar(&d.asJSON, "json", false, "print JSON")
	return cmd
}

// examine makes all checks, one after the other: some load the machine that others look at.
func (d *doctorFlags) examine(ctx context.Context, lookup lookupFunc) []finding {
	checks := []struct {
		name string
		look func(context.Context) []finding
	}{
		{"program", d.program},
		{"disk", d.disk},
		{"engine", d.engine},
		{"emulation", d.emulation},
		{"images", d.builderImages},
		{"redis", d.redisServer},
		{"farm", func(ctx context.Context) []finding { return d.farmAndKey(ctx, lookup) }},
	}
	var all []finding
	for _, c := range checks {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		found := c.look(ctx)
		cancel()
		for i := range found {
			if found[i].Check == "" {
				found[i].Check = c.name
			}
		}
		all = append(all, found...)
	}
	return all
}

func (d *doctorFlags) show(w io.Writer, coloured bool, findings []finding) error {
	if d.asJSON {
		return json.NewEncoder(w).Encode(findings)
	}
	for _, f := range findings {
		fmt.Fprintf(w, "%s  %-10s %s\n", paint(f.Verdict, coloured), f.Check, f.Detail)
		if f.Mend != "" {
			fmt.Fprintf(w, "%21s-> %s\n", "", f.Mend)
		}
	}
	return nil
}

func paint(verdict string, coloured bool) string {
	text := fmt.Sprintf("%-7s", verdict)
	code := map[string]string{verdictOK: "32", verdictWarning: "33", verdictBad: "31"}[verdict]
	if !coloured || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// sum is an error when something is bad.
func sum(findings []finding) error {
	bad := 0
	for _, f := range findings {
		if f.Verdict == verdictBad {
			bad++
		}
	}
	switch bad {
	case 0:
		return nil
	case 1:
		return errors.New("one thing is bad: the line behind the arrow mends it")
	}
	return fmt.Errorf("%d things are bad: the lines behind the arrows mend them", bad)
}
