package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// searchFlags say which modules to look for.
type searchFlags struct {
	farm                                farmFlags
	platforms, namespaces, visibilities []string
	deprecated, json                    bool
	limit                               int
}

func newModuleSearch(lookup lookupFunc) *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use:   "search [WORD…]",
		Short: "Find modules by name, description and models",
		Long: `Find modules by the words of their namespace, name, description and models: each
WORD must begin one of them, in any case. Without WORD all modules are listed: the
organization's own and all that are public, by name.`,
		Example: `  modfarm module search pressure sensor
  modfarm module search --platform linux/arm64 --namespace acme`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.filter(cmd, args)
			if err != nil {
				return err
			}
			c, err := f.farm.client(lookup)
			if err != nil {
				return err
			}
			found, err := c.Search(cmd.Context(), filter)
			if err != nil {
				return err
			}
			out := safeOutput(cmd.OutOrStdout())
			if f.json {
				return json.NewEncoder(out).Encode(append([]client.ModuleInfo{}, found...))
			}
			if err := printModules(out, found); err != nil {
				return err
			}
			if len(found) == f.limit {
				fmt.Fprintf(cmd.ErrOrStderr(), "these are the first %d; --limit shows more\n", f.limit)
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	const few = 50
	f.farm.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&f.platforms, "platform", nil, "only modules with an archive that runs on one of these platforms")
	cmd.Flags().StringSliceVar(&f.namespaces, "namespace", nil, "only modules of these public namespaces")
	cmd.Flags().StringSliceVar(&f.visibilities, "visibility", nil, "only modules that are private, public or public_unlisted")
	cmd.Flags().BoolVar(&f.deprecated, "deprecated", false, "also the organization's own modules that are deprecated")
	cmd.Flags().IntVar(&f.limit, "limit", few, "how many modules to show at most")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *searchFlags) filter(cmd *cobra.Command, args []string) (client.Filter, error) {
	filter := client.Filter{Term: strings.Join(args, " "), Namespaces: f.namespaces, Deprecated: f.deprecated, Limit: f.limit}
	if f.limit < 1 {
		return filter, usageError{fmt.Errorf("%s %d: a number from 1 on", sourceOf(cmd.Flags(), "limit"), f.limit)}
	}
	for _, text := range f.platforms {
		p, err := module.ParsePlatform(text)
		if err != nil {
			return filter, usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "platform"), err)}
		}
		filter.Platforms = append(filter.Platforms, p)
	}
	for _, text := range f.visibilities {
		v, err := module.ParseVisibility(text)
		if err != nil {
			return filter, usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "visibility"), err)}
		}
		filter.Visibilities = append(filter.Visibilities, v)
	}
	return filter, nil
}
