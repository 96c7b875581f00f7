package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// parseSpec reads MODULE or MODULE@VERSION; the version may begin with a "v".
func parseSpec(text string) (id module.ID, v module.Version, err error) {
	name, version, versioned := strings.Cut(text, "@")
	if id, err = module.ParseID(name); err != nil {
		return id, v, usageError{err}
	}
	if versioned {
		if v, err = module.ParseTag(version); err != nil {
			return id, v, usageError{err}
		}
	}
	return id, v, nil
}

// moduleDetails is a module as --json prints it.
type moduleDetails struct {
	client.ModuleInfo
	// Latest is what somebody gets who names no version; empty for none.
	Latest module.Version       `json:"latest,omitzero"`
	Events []client.ModuleEvent `json:"events,omitempty"`
}

// versionDetails is one version as --json prints it.
type versionDetails struct {
	client.VersionInfo
	Releases []module.Release `json:"releases"`
}

func newModuleInfo(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON, history bool
	cmd := &cobra.Command{
		Use:   "info MODULE[@VERSION]",
		Short: "Show a module, or the archives of one version",
		Long: `Show a module: who may see it, what it serves, its newest versions, and who uses
it. With @VERSION show the archives of that version with their sizes, digests and
where they come from.`,
		Example: `  modfarm module info acme:widget
  modfarm module info acme:widget@1.0.0
  modfarm module info acme:widget --history`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, v, err := parseSpec(args[0])
			if err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			info, err := c.Module(cmd.Context(), id)
			if err != nil {
				return err
			}
			out := safeOutput(cmd.OutOrStdout())
			if !v.IsZero() {
				return showVersion(cmd, c, info, v, asJSON)
			}
			details := moduleDetails{ModuleInfo: info, Latest: info.Latest()}
			if history {
				if details.Events, err = c.ModuleEvents(cmd.Context(), id, 0); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(out).Encode(details)
			}
			return printDetails(out, details)
		},
		ValidArgsFunction: completeModules(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&history, "history", false, "also show who changed, deprecated and deleted what")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func showVersion(cmd *cobra.Command, c *client.Client, info client.ModuleInfo, v module.Version, asJSON bool) error {
	releases, err := c.Releases(cmd.Context(), info.ID, v)
	if err != nil {
		return err
	}
	details := versionDetails{Releases: releases}
	for _, known := range info.Versions {
		if known.Version == v {
			details.VersionInfo = known
		}
	}
	out := safeOutput(cmd.OutOrStdout())
	if asJSON {
		return json.NewEncoder(out).Encode(details)
	}
	return printVersion(out, info.ID, details)
}

// shownVersions is how many versions 'module info' shows.
const shownVersions = 5

func printDetails(w io.Writer, m moduleDetails) error {
	fmt.Fprintf(w, "%s (%s)\n", m.ID, m.Visibility)
	if text := oneLine(m.Description); text != "" {
		fmt.Fprintln(w, text)
	}
	if d := m.Deprecated; d != nil {
		fmt.Fprintf(w, "DEPRECATED since %s: %s\n", d.At.UTC().Format(time.DateOnly), oneLine(d.Message))
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, oneLine(value))
		}
	}
	line("latest", m.Latest.String())
	line("repository", m.URL)
	line("entrypoint", m.Entrypoint)
	line("first run", m.FirstRun)
	for _, model := range m.Models {
		line("model", model.Model+" ("+model.API+")")
	}
	line("used by", usedBy(m.Usage))
	if err := table.Flush(); err != nil {
		return err
	}
	if n := len(m.Versions); n > 0 {
		fmt.Fprintln(w)
		newest := newestFirst(m.Versions)
		if err := printVersions(w, newest[:min(n, shownVersions)]); err != nil {
			return err
		}
		if n > shownVersions {
			fmt.Fprintf(w, "and %d more: modfarm module versions %s\n", n-shownVersions, m.ID)
		}
	}
	return printEvents(w, m.Events)
}

func usedBy(u client.Usage) string {
	if u.Machines == 0 && u.OtherOrganizations == 0 {
		return "nobody within 30 days"
	}
	text := fmt.Sprintf("%d machines", u.Machines)
	if u.Machines == 1 {
		text = "1 machine"
	}
	if u.OtherOrganizations > 0 {
		text += fmt.Sprintf(", and by %d other organizations", u.OtherOrganizations)
	}
	return text + " within 30 days"
}

func printEvents(w io.Writer, events []client.ModuleEvent) error {
	if len(events) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHEN\tWHAT\tVERSION\tWHO\tDETAIL")
	for _, e := range events {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", e.At.UTC().Format(time.RFC3339), e.Action, cmp.Or(e.Version.String(), "-"), e.Actor, cmp.Or(oneLine(e.Detail), "-"))
	}
	return table.Flush()
}

func printVersion(w io.Writer, id module.ID, v versionDetails) error {
	fmt.Fprintf(w, "%s %s\n", id, v.Version)
	if d := v.Deprecated; d != nil {
		fmt.Fprintf(w, "DEPRECATED since %s: %s\n", d.At.UTC().Format(time.DateOnly), oneLine(d.Message))
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PLATFORM\tTAGS\tSIZE\tPUBLISHED\tFROM\tSHA256")
	for _, rel := range v.Releases {
		from := "upload"
		if rel.Commit != "" {
			from = string(rel.Strategy) + " " + rel.Commit[:min(12, len(rel.Commit))]
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", rel.Platform, cmp.Or(strings.Join(rel.Tags, ","), "-"), rel.Size,
			rel.PublishedAt.UTC().Format(time.RFC3339), from, rel.SHA256)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, rel := range v.Releases {
		for _, warning := range rel.Warnings {
			fmt.Fprintf(w, "warning: %s: %s\n", rel.Platform, oneLine(warning))
		}
	}
	return nil
}
