package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newProfiles(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "List and choose the logins that this machine keeps",
		Long: `List and choose the logins that this machine keeps. 'modfarm login --profile NAME'
makes one. They are in a file that only you may read: modfarm/profiles.json in
your folder of settings (~/.config on Linux).`,
	}
	cmd.AddCommand(newProfilesList(lookup), newProfilesUse(lookup), newProfilesRemove(lookup))
	return cmd
}

// listedProfile is a login as it is shown: without its key.
type listedProfile struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	KeyID   string `json:"key_id"`
	Current bool   `json:"current"`
}

func newProfilesList(lookup lookupFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the logins; the current one is marked",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := readProfiles(lookup)
			if err != nil {
				return err
			}
			list := []listedProfile{}
			for _, name := range p.names() {
				list = append(list, listedProfile{Name: name, URL: p.Logins[name].URL, KeyID: p.Logins[name].KeyID, Current: name == p.Current})
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "PROFILE\tCURRENT\tFARM\tKEY ID")
			for _, l := range list {
				current := "-"
				if l.Current {
					current = "current"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.Name, current, l.URL, l.KeyID)
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newProfilesUse(lookup lookupFunc) *cobra.Command {
	return &cobra.Command{
		Use:     "use PROFILE",
		Short:   "Make a login the current one",
		Example: "  modfarm profiles use work",
		Args:    exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readProfiles(lookup)
			if err != nil {
				return err
			}
			if p.Current, _, err = p.choose(args[0]); err != nil {
				return err
			}
			return p.write()
		},
		ValidArgsFunction: completeProfiles(lookup),
	}
}

func newProfilesRemove(lookup lookupFunc) *cobra.Command {
	return &cobra.Command{
		Use:     "remove PROFILE",
		Aliases: []string{"rm"},
		Short:   "Forget a login; its key stays valid until it is revoked",
		Example: "  modfarm profiles remove work",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forget(cmd, lookup, args[0])
		},
		ValidArgsFunction: completeProfiles(lookup),
	}
}

// forget removes a login, and says that its key is still good.
func forget(cmd *cobra.Command, lookup lookupFunc, name string) error {
	p, err := readProfiles(lookup)
	if err != nil {
		return err
	}
	name, login, err := p.choose(name)
	if err != nil {
		return err
	}
	delete(p.Logins, name)
	if p.Current == name {
		p.Current = ""
	}
	if err := p.write(); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "forgot the login %q; the key %s itself stays valid\n", name, login.KeyID)
	return nil
}

func completeProfiles(lookup lookupFunc) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if p, err := readProfiles(lookup); err == nil && len(args) == 0 {
			names = p.names()
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
