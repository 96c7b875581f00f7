package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
)

func newOrg(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "org",
		Aliases: []string{"organizations", "organization"},
		Short:   "Show and make organizations, which own modules and keys",
	}
	cmd.AddCommand(newOrgList(lookup), newOrgCreate(lookup), newOrgSetNamespace(lookup), newOrgKey(lookup))
	return cmd
}

func newOrgList(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the organization of the key; with --all every one, for those who run the farm",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			list := c.Login
			if all {
				list = c.FarmOrganizations
			}
			orgs, err := list(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(orgs)
			}
			return printOrgs(cmd.OutOrStdout(), orgs)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "list every organization of the farm")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printOrgs(w io.Writer, orgs []client.Organization) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tNAMESPACE\tID")
	for _, o := range orgs {
		fmt.Fprintf(table, "%s\t%s\t%s\n", oneLine(o.Name), cmp.Or(o.Namespace, "-"), o.ID)
	}
	return table.Flush()
}

func newOrgCreate(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var namespace string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an organization with an owner's key; for those who run the farm",
		Long: `Make an organization. Those may who run the farm: owners of the organization that
it was made with. Its first key, an owner's, is shown once.

Nobody of one organization sees private modules of another, those who run the farm
included.`,
		Example: "  modfarm org create \"Beta Robotics\" --namespace beta",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			org, key, err := c.CreateOrganization(cmd.Context(), args[0], namespace)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					client.Organization
					Key client.NewKey `json:"key"`
				}{org, key})
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "made the organization %q with the id %s\n", org.Name, org.ID)
			return printKey(cmd, key)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&namespace, "namespace", "", "its public namespace, what its module ids begin with; may be set later")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newOrgSetNamespace(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	cmd := &cobra.Command{
		Use:   "set-namespace NAMESPACE",
		Short: "Give the key's organization its public namespace, once",
		Long: `Give the organization of the key its public namespace: what its module ids begin
with from then on. It is given once and stays, as machines know modules by it. Ids
that begin with the organization's id go on working. Public modules need one.`,
		Example: "  modfarm org set-namespace acme",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			org, err := c.SetNamespace(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), org.Namespace)
			return err
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// newOrgKey is how the stock command line spells making a key.
func newOrgKey(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var org, name string
	create := &cobra.Command{
		Use:     "create",
		Short:   "Make an owner's key; 'modfarm key create' makes others, too",
		Example: "  modfarm org api-key create --org-id 3d4e0d5a-3a0e-4c3b-9f5e-6a5b0a3c1d2e --name ci",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			key, err := c.CreateOwnerKey(cmd.Context(), org, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Successfully created key:\nKey ID: %s\nKey Value: %s\n", key.ID, key.Secret)
			return err
		},
	}
	f.add(create.Flags())
	create.Flags().StringVar(&org, "org-id", "", "the id of the organization (default that of the key)")
	create.Flags().StringVar(&name, "name", "", "the name of the key")
	cmd := &cobra.Command{Use: "api-key", Short: "Make keys as the stock command line does"}
	cmd.AddCommand(create)
	return cmd
}
