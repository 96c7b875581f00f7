package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func newKey(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, list, rotate and revoke API keys",
		Long: `Make, list, rotate and revoke the API keys of an organization. An owner's key is
needed.

An owner may do everything in the organization, keys included. A publisher creates
and changes modules, starts builds and uploads. A reader sees modules, builds and
logs. A machine looks up and downloads packages. Each role includes those after it.`,
	}
	cmd.AddCommand(newKeyCreate(lookup), newKeyList(lookup), newKeyRotate(lookup), newKeyRevoke(lookup))
	return cmd
}

// roles are the names that --role takes, the mightiest first.
func roles() []string { return []string{"owner", "publisher", "reader", "machine"} }

func newKeyCreate(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var r client.KeyRequest
	var expires string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an API key; its secret is shown once",
		Long: `Make an API key for the organization, or with --module for one module of it: such a
key reaches nothing else. The secret is shown once, on standard output.`,
		Example: `  modfarm key create --name ci --role publisher --module acme:widget --expires 90d
  modfarm key create --name truck-7 --role machine`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if r.Lifetime, err = parseLifetime(expires); err != nil {
				return usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "expires"), err)}
			}
			if !slices.Contains(roles(), r.Role) {
				return hinted(usageError{fmt.Errorf("%s: %q: not a role", sourceOf(cmd.Flags(), "role"), r.Role)}, "use one of %s", strings.Join(roles(), ", "))
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			key, err := c.CreateKey(cmd.Context(), r)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(key)
			}
			return printKey(cmd, key)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&r.Name, "name", "", "what lists call the key (default key- and its id)")
	cmd.Flags().StringVar(&r.Role, "role", "publisher", "what the key may do: owner, publisher, reader or machine")
	cmd.Flags().StringVar(&r.Module, "module", "", "the one module that the key is for (default all of the organization)")
	cmd.Flags().StringVar(&expires, "expires", "", "how long the key is good, as 90d or 12h (default for ever)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles(), cobra.ShellCompDirectiveNoFileComp)) // it exists
	_ = cmd.RegisterFlagCompletionFunc("module", completeModules(&f, lookup))                                       // it exists
	return cmd
}

// parseLifetime reads a time as Go does, and days; empty is zero.
func parseLifetime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if days, found := strings.CutSuffix(text, "d"); found {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, 1<<16)) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: a time such as 90d or 12h is wanted", text)
	}
	return d, nil
}

// printKey shows a new key on standard output, in the form that 'modfarm login' reads.
func printKey(cmd *cobra.Command, key client.NewKey) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "the key %q of the role %s%s; it is shown once\n", key.Name, key.Role, phrase(" for ", key.Module))
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "MODFARM_KEY_ID=%s\nMODFARM_KEY=%s\n", key.ID, key.Secret)
	return err
}

func newKeyList(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the organization's keys, without their secrets",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			keys, err := c.Keys(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(keys)
			}
			return printKeys(cmd.OutOrStdout(), keys)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printKeys(w io.Writer, keys []client.APIKey) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tROLE\tMODULE\tEXPIRES\tLAST USED")
	for _, k := range keys {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, oneLine(k.Name), k.Role, scopeOf(k), day(k.ExpiresAt), day(k.UsedAt))
	}
	return table.Flush()
}

// scopeOf is what a key is for; that of a workflow run is marked.
func scopeOf(k client.APIKey) string {
	if w := k.Workflow; w != nil {
		return oneLine(strings.Join(w.Modules, ", ") + " (workflow run " + cmp.Or(w.RunID, "?") + ")")
	}
	return cmp.Or(k.Module, "all")
}

// day is a time to the minute, in UTC; - is never.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func newKeyRotate(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var grace string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate KEY",
		Short: "Give a key a new secret",
		Long: `Give a key a new secret, which is shown once. Its id, name, role and end stay. The
old secret, and the logins made with it, end at once, or with --grace a while
later, so that what uses the key can be told the new one.`,
		Example: "  modfarm key rotate 7e64f1a2-35d2-4c0c-a7c5-0d5d7f3b1c11 --grace 7d",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := parseLifetime(grace)
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", sourceOf(cmd.Flags(), "grace"), err)}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			key, err := c.RotateKey(cmd.Context(), args[0], d)
			if err != nil {
				return noSuchKey(args[0], err)
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(key)
			}
			return printKey(cmd, key)
		},
		ValidArgsFunction: completeKeys(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&grace, "grace", "", "how long the old secret is good, as 7d or 1h (default it ends at once)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newKeyRevoke(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	cmd := &cobra.Command{
		Use:     "revoke KEY",
		Aliases: []string{"delete"},
		Short:   "End a key, and every login made with it, at once",
		Example: "  modfarm key revoke 7e64f1a2-35d2-4c0c-a7c5-0d5d7f3b1c11",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			if err := c.RevokeKey(cmd.Context(), args[0]); err != nil {
				return noSuchKey(args[0], err)
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "revoked the key %s, and every login made with it\n", args[0])
			return err
		},
		ValidArgsFunction: completeKeys(&f, lookup),
	}
	f.add(cmd.Flags())
	return cmd
}

// noSuchKey says where ids of keys are found.
func noSuchKey(id string, err error) error {
	if errors.Is(err, module.ErrNotFound) {
		return hinted(fmt.Errorf("%w: no key has the id %s", module.ErrNotFound, id), "see 'modfarm key list'")
	}
	return err
}

// completeKeys offers the organization's keys.
func completeKeys(f *farmFlags, lookup lookupFunc) cobra.CompletionFunc {
	return ask(f, lookup, func(ctx context.Context, c *client.Client, args []string) (ids []string) {
		if len(args) > 0 {
			return nil
		}
		keys, _ := c.Keys(ctx) // no answer, no offer
		for _, k := range keys {
			ids = append(ids, k.ID+"\t"+oneLine(k.Name))
		}
		return ids
	})
}
