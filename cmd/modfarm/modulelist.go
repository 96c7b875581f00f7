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
	fmt.Fprintln(table, "MODULE\tVISIBILITY\tVERSIONS\tLATEST\tDESCRIPTION")
	for _, m := range modules {
		description := cmp.Or(oneLine(m.Description), "-")
		if m.Deprecated != nil {
			description = "deprecated: " + oneLine(m.Deprecated.Message)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", m.ID, m.Visibility, len(m.Versions), cmp.Or(m.Latest().String(), "-"), description)
	}
	return table.Flush()
}

func newModuleVersions(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var path string
	var asJSON, latest bool
	cmd := &cobra.Command{
		Use:   "versions [MODULE[@VERSION]]",
		Short: "List a module's published versions, highest first, with their platforms",
		Long: `List the published versions of MODULE, or of the module of meta.json, highest first;
with @VERSION only that one. --latest prints the one that who names no version gets: the highest that is neither
a pre-release nor deprecated. A platform that has no upload of it is told on standard
error, with the version that its machines get.`,
		Example: `  modfarm module versions acme:widget
  modfarm module versions --latest`,
		Args: maximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, only, err := moduleOf(args, path)
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
			versions := newestFirst(info.Versions)
			if latest {
				versions = slices.DeleteFunc(versions, func(v client.VersionInfo) bool { return v.Version != info.Latest() })
			}
			if !only.IsZero() {
				versions = slices.DeleteFunc(versions, func(v client.VersionInfo) bool { return v.Version != only })
			}
			switch {
			case !only.IsZero() && len(versions) == 0:
				return fmt.Errorf("%w: %s has no version %s", module.ErrNotFound, id, only)
			case asJSON:
				return json.NewEncoder(out).Encode(versions)
			case latest && len(versions) == 0:
				return fmt.Errorf("%w: %s has no version that is not deprecated", module.ErrNotFound, id)
			case latest:
				tellBehind(safeOutput(cmd.ErrOrStderr()), info)
				_, err = fmt.Fprintln(out, versions[0].Version)
				return err
			}
			return printVersions(out, versions)
		},
		ValidArgsFunction: completeModules(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&path, "module", manifestFile, "the meta.json of the module, when none is named")
	cmd.Flags().BoolVar(&latest, "latest", false, "only the latest version")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tellBehind says which platforms are without the latest version: what their machines get instead.
func tellBehind(w io.Writer, info client.ModuleInfo) {
	told := map[module.Platform]bool{}
	for _, v := range slices.Backward(info.Versions) {
		for _, p := range v.Platforms {
			if told[p] || p.IsWildcard() {
				continue
			}
			told[p] = true
			switch latest := info.LatestFor(p); {
			case latest == info.Latest():
			case latest.IsZero():
				fmt.Fprintf(w, "%s has it not, and no other that is not deprecated\n", p)
			case latest.IsPrerelease():
				fmt.Fprintf(w, "%s has it not, and pre-releases only: its machines get one when they ask for it\n", p)
			default:
				fmt.Fprintf(w, "%s has it not: its machines get %s\n", p, latest)
			}
		}
	}
}

// moduleOf is the module that is named, perhaps with a version, or that of meta.json.
func moduleOf(args []string, path string) (id module.ID, v module.Version, err error) {
	if len(args) == 0 {
		manifest, err := readManifest(path)
		if err != nil {
			return id, v, err
		}
		return manifest.ID, v, nil
	}
	return parseSpec(args[0])
}

func newestFirst(ascending []client.VersionInfo) []client.VersionInfo {
	versions := slices.Clone(ascending)
	slices.Reverse(versions)
	return versions
}

func printVersions(w io.Writer, versions []client.VersionInfo) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tPUBLISHED\tPLATFORMS\tNOTE")
	for _, v := range versions {
		note := "-"
		if v.Deprecated != nil {
			note = "deprecated: " + oneLine(v.Deprecated.Message)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.Version, v.PublishedAt.UTC().Format(time.RFC3339), strings.Join(platformNames(v.Platforms), ", "), note)
	}
	return table.Flush()
}
