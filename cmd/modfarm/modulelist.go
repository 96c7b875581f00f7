package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func newModuleList(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the organization's modules",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			modules, err := c.Modules(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(modules)
			}
			return printModules(cmd.OutOrStdout(), modules)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printModules(w io.Writer, modules []client.ModuleInfo) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MODULE\tVISIBILITY\tVERSIONS\tHIGHEST\tDESCRIPTION")
	for _, m := range modules {
		highest := "-"
		if n := len(m.Versions); n > 0 {
			highest = m.Versions[n-1].Version.String()
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", m.ID, m.Visibility, len(m.Versions), highest, cmp.Or(oneLine(m.Description), "-"))
	}
	return table.Flush()
}

func newModuleVersions(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "versions MODULE",
		Short:   "List a module's published versions, highest first, with their platforms",
		Example: "  modfarm module versions acme:widget",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := module.ParseID(args[0])
			if err != nil {
				return usageError{err}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			info, err := c.Module(cmd.Context(), id)
			if err != nil {
				return err
			}
			slices.Reverse(info.Versions)
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info.Versions)
			}
			return printVersions(cmd.OutOrStdout(), info.Versions)
		},
		ValidArgsFunction: completeModules(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printVersions(w io.Writer, versions []client.VersionInfo) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tPUBLISHED\tPLATFORMS")
	for _, v := range versions {
		var names []string
		for _, p := range v.Platforms {
			names = append(names, p.String())
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", v.Version, v.PublishedAt.UTC().Format(time.RFC3339), strings.Join(names, ", "))
	}
	return table.Flush()
}
