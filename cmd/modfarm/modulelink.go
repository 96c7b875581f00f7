package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func newModuleLink(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var renew, asJSON bool
	cmd := &cobra.Command{
		Use:   "link MODULE REPOSITORY",
		Short: "Let a repository's workflows publish a module without a stored key",
		Long: `Link a module with a repository, given by its https address, or as OWNER/NAME of one
on GitHub: workflow runs of the repository are then given keys for the module by
their identity. It takes the key of an owner.

The first run pins the numbers that the code host has for the repository and its
owner. A repository of that name with other numbers, because it was made anew or
given away, is refused until --renew forgets them.

A repository must be on a GitHub that the farm works with: the one of its App, or one
whose workflow runs it trusts (--oidc-issuer). Of others nothing would come.`,
		Example: `  modfarm module link acme:widget https://github.com/acme/widget
  modfarm module link --renew acme:widget acme/widget`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := module.ParseID(args[0])
			if err != nil {
				return usageError{err}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			link, err := c.LinkRepository(cmd.Context(), id, args[1], renew)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(link)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "linked %s with %s\n", link.Module, link.Repository)
			return err
		},
		ValidArgsFunction: completeModules(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&renew, "renew", false, "forget the numbers that the repository of a link was known by; nothing new is linked")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// unlinked is what is linked no more, as --json prints it.
type unlinked struct {
	Module module.ID `json:"module"`
	// Repository is as it was given.
	Repository string `json:"repository"`
}

func newModuleUnlink(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "unlink MODULE REPOSITORY",
		Short: "End the link of a module with a repository",
		Long: `End the link of a module with a repository: its workflow runs are given no further
keys. Those that they hold expire within an hour; 'modfarm key revoke' ends one at
once.`,
		Example: "  modfarm module unlink acme:widget https://github.com/acme/widget",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := module.ParseID(args[0])
			if err != nil {
				return usageError{err}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			if err := c.UnlinkRepository(cmd.Context(), id, args[1]); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(unlinked{Module: id, Repository: args[1]})
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "unlinked %s from %s\n", id, args[1])
			return err
		},
		ValidArgsFunction: completeLinks(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newModuleLinks(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "links [MODULE]",
		Short:   "List which repositories are linked with which modules",
		Example: "  modfarm module links\n  modfarm module links --json acme:widget",
		Args:    maximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var id module.ID
			if len(args) > 0 {
				var err error
				if id, err = module.ParseID(args[0]); err != nil {
					return usageError{err}
				}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			links, err := c.RepositoryLinks(cmd.Context(), id)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(links)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "MODULE\tREPOSITORY\tKNOWN AS\tSINCE")
			for _, l := range links {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.Module, oneLine(l.Repository), cmp.Or(l.RepositoryNumber, "not used yet"), day(l.CreatedAt))
			}
			return table.Flush()
		},
		ValidArgsFunction: completeModules(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// completeLinks offers modules, then the repositories that are linked with one.
func completeLinks(f *farmFlags, lookup lookupFunc) cobra.CompletionFunc {
	return completeModuleAnd(f, lookup, func(ctx context.Context, c *client.Client, id module.ID) (repositories []string) {
		links, _ := c.RepositoryLinks(ctx, id) // no answer, no offer
		for _, l := range links {
			repositories = append(repositories, l.Repository)
		}
		return repositories
	})
}
