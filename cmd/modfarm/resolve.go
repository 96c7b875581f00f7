package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

func newModuleResolve(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var platform string
	var tags []string
	var explain, asJSON bool
	cmd := &cobra.Command{
		Use:   "resolve MODULE[@VERSION]",
		Short: "Say which upload a machine gets, and why not another one",
		Long: `Say which upload of a module a machine gets. VERSION is latest (the default),
latest-with-prerelease, a version, or a range such as 1.2, ^1.2, ~1.2.3 or '>=1.2 <2'.
The machine is one of --platform, this one by default, with the tags of --tag.

With --explain every upload of the module is listed with the reason why it was not
taken; the one that was taken is first.`,
		Example: `  modfarm module resolve acme:widget
  modfarm module resolve acme:widget@^1.2 --platform linux/arm64 --tag distro:debian --explain`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := resolveRequest(args[0])
			if err != nil {
				return usageError{err}
			}
			if req.Machine.Platform, err = module.ParsePlatform(platform); err != nil {
				return usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "platform"), err)}
			}
			if req.Machine.Platform.IsWildcard() {
				return hinted(usageError{fmt.Errorf("%s: %q: a wildcard, and a machine has one platform", sourceOf(cmd.Flags(), "platform"), platform)},
					"name the machine's, such as linux/arm64; uploads for %s are found for it", platform)
			}
			if faults := registry.CheckTags(sourceOf(cmd.Flags(), "tag"), tags); len(faults) > 0 {
				return usageError{faults}
			}
			req.Machine.Tags, req.Explain = tags, explain
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			found, err := c.Resolve(cmd.Context(), req)
			if err != nil {
				return err
			}
			return printResolution(cmd.OutOrStdout(), cmd.ErrOrStderr(), found, asJSON)
		},
		ValidArgsFunction: completeModules(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&platform, "platform", module.HostPlatform().String(), "the machine's platform")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "a tag of the machine, as distro:debian; may be given several times")
	cmd.Flags().BoolVar(&explain, "explain", false, "list every upload with the reason why it was not taken")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// resolveRequest reads "acme:widget@^1.2".
func resolveRequest(text string) (client.ResolveRequest, error) {
	name, selector, found := strings.Cut(text, "@")
	id, err := module.ParseID(name)
	if err != nil {
		return client.ResolveRequest{}, err
	}
	req := client.ResolveRequest{Module: id}
	if found {
		req.Selector, err = module.ParseSelector(selector)
	}
	return req, err
}

// errNothingFits is the end of an explanation without an upload, which has said all.
var errNothingFits = fmt.Errorf("%w: nothing fits", module.ErrNotFound)

func printResolution(out, stderr io.Writer, found client.Resolution, asJSON bool) error {
	var err error
	switch {
	case asJSON:
		err = json.NewEncoder(out).Encode(found)
	case len(found.Candidates) > 0:
		err = printCandidates(safeOutput(out), found)
	case found.Upload != nil:
		u := found.Upload
		_, err = fmt.Fprintln(out, strings.Join(append([]string{found.Module.String() + "@" + u.Version.String(), u.Platform.String()}, u.Tags...), " "))
	}
	if !asJSON {
		for _, warning := range found.Warnings {
			fmt.Fprintln(safeOutput(stderr), "warning:", warning)
		}
	}
	switch {
	case found.Upload != nil:
		return err
	case len(found.Candidates) > 0 && !asJSON: // the table is the answer
		return errors.Join(err, errNothingFits)
	}
	return errors.Join(err, fmt.Errorf("%w: %s", module.ErrNotFound, strings.TrimPrefix(found.Reason, module.ErrNotFound.Error()+": ")))
}

func printCandidates(w io.Writer, found client.Resolution) error {
	machine := module.Machine{Platform: found.Platform, Tags: found.Tags}
	fmt.Fprintf(w, "%s@%s on %s\n\n", found.Module, found.Selector, machine)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tPLATFORM\tTAGS\tVERDICT\tREASON")
	for _, c := range found.Candidates {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Version, c.Platform, cmp.Or(strings.Join(c.Tags, ","), "-"),
			verdictOf(c.Refused), cmp.Or(oneLine(c.Reason), "-"))
	}
	return table.Flush()
}

// verdictOf is what became of an upload, for people. One that is outranked fits, so it is not refused.
func verdictOf(r module.Refusal) string {
	switch r {
	case "":
		return "taken"
	case module.RefusedOutranked:
		return string(r)
	}
	return "refused: " + string(r)
}
