package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// shared is who may use an account, as --json prints it.
type shared struct {
	Account      string `json:"account"`
	AppLinkID    string `json:"app_link_id"`
	Organization string `json:"organization"`
	// Shared is what holds now.
	Shared bool `json:"shared"`
}

func newGitHubShare(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var org string
	var undo, asJSON bool
	cmd := &cobra.Command{
		Use:   "share ACCOUNT",
		Short: "Let another organization build from an account's private repositories",
		Long: `Let another organization build from the private repositories of a GitHub account that
belongs to the key's organization: its modules that are linked with one of them are
built from its tags, and its builds may read them. Public ones need no sharing.

It takes the key of an owner. --undo ends it, and may be said by an owner of either
organization. Links that the stock command line made by the account are removed first.`,
		Example: `  modfarm github share acme-robotics --org beta
  modfarm github share acme-robotics --org beta --undo`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if org == "" {
				return hinted(usageError{errors.New("no --org")}, "name the other organization by its namespace or id: --org beta")
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			account, err := accountOf(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if err := c.ShareGitHubAccount(cmd.Context(), account.AppLinkID, org, undo); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(shared{account.Account, account.AppLinkID, org, !undo})
			}
			said := "may build from"
			if undo {
				said = "may no longer build from"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s the private repositories of %s\n", org, said, account.Account)
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&org, "org", "", "namespace or id of the other organization")
	cmd.Flags().BoolVar(&undo, "undo", false, "end it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// accountOf finds an account that the organization of the key may use.
func accountOf(ctx context.Context, c *client.Client, name string) (client.GitHubShare, error) {
	list, err := c.GitHubShares(ctx)
	if err != nil {
		return client.GitHubShare{}, err
	}
	for _, account := range list {
		if strings.EqualFold(account.Account, name) {
			return account, nil
		}
	}
	status, err := c.GitHub(ctx, false)
	switch {
	case err != nil:
		return client.GitHubShare{}, err
	case status.App == nil:
		return client.GitHubShare{}, hinted(fmt.Errorf("%w: no GitHub App is set up", module.ErrNotFound), "run 'modfarm github setup'")
	}
	return client.GitHubShare{}, hinted(fmt.Errorf("%w: no account %q of the App belongs to your organization, or is shared with it", module.ErrNotFound, name),
		"'modfarm github status' lists the accounts, and 'modfarm github connect' says whose one is")
}
