package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
)

func newGitHub(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "github",
		Short: "Build tags of GitHub repositories by themselves",
		Long: `Set a GitHub App up that builds every version tag of the repositories it is
installed on, shows on the commit how each platform goes, and keeps a ledger that
says what became of each tag.`,
	}
	cmd.AddCommand(newGitHubSetup(lookup), newGitHubStatus(lookup), newGitHubConnect(lookup), newGitHubShare(lookup), newGitHubTags(lookup), newGitHubSync(lookup),
		newGitHubDeliveries(lookup), newGitHubSecret(lookup))
	return cmd
}

// setupPolls is how long the setup waits for the browser; GitHub's code is good for as long.
const setupPolls = time.Hour

func newGitHubSetup(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var name, account, github string
	var detach, asJSON bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make the farm's GitHub App, in a browser",
		Long: `Print the address of a page of the farm; there a button leads to GitHub, which
makes the App and gives the farm its secrets. They are never shown. The browser must
reach the farm at its --public-url, and so must GitHub, to tell it of tags. A farm at
a loopback address gets an App that is told nothing: it compares the tags every ten
minutes, or at 'modfarm github sync'.

The page is good for an hour and for one App: give its address to nobody.`,
		Example: "  modfarm github setup --name 'Acme builds' --account acme",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			before, err := c.GitHub(cmd.Context(), false)
			if err != nil {
				return err
			}
			page, err := c.BeginGitHubSetup(cmd.Context(), name, account, github)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(setupPage{Page: page})
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), page)
			}
			if detach || err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "Open this page in a browser; waiting for GitHub (Ctrl-C leaves, the page stays good)")
			return waitForApp(cmd.Context(), cmd.ErrOrStderr(), c, before)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "Modfarm", "the App's name, unique at GitHub")
	cmd.Flags().StringVar(&account, "account", "", "the GitHub organization that will own the App (default the user who presses the button)")
	cmd.Flags().StringVar(&github, "github-url", "https://github.com", "GitHub, or the address of a GitHub Enterprise Server")
	cmd.Flags().BoolVar(&detach, "detach", false, "print the page and end")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// setupPage is where the setup goes on, as --json prints it.
type setupPage struct {
	// Page is secret for an hour.
	Page string `json:"page"`
}

func waitForApp(ctx context.Context, out io.Writer, c *client.Client, before client.GitHubStatus) error {
	ctx, cancel := context.WithTimeoutCause(ctx, setupPolls, errors.New("nobody finished the setup within an hour: run it again"))
	defer cancel()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		now, err := c.GitHub(ctx, false)
		if err != nil {
			return err
		}
		if now.App == nil || before.App != nil && before.App.ID == now.App.ID {
			continue
		}
		fmt.Fprintf(out, "The App %s is set up. Install it on the account of your repositories: %s/installations/new\n", now.App.Name, now.App.PageURL)
		return nil
	}
}

func newGitHubStatus(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the App, the accounts it is on, and their repositories",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			status, err := c.GitHub(cmd.Context(), true)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(status)
			}
			return printGitHub(cmd.OutOrStdout(), status)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printGitHub(w io.Writer, s client.GitHubStatus) error {
	if s.App == nil {
		_, err := fmt.Fprintln(w, "There is no GitHub App yet; make one with 'modfarm github setup'.")
		return err
	}
	fmt.Fprintf(w, "App           %s (%s)\n", s.App.Name, s.App.PageURL)
	fmt.Fprintf(w, "GitHub says   %s\n", cmp.Or(s.App.Problem, "all is well"))
	if len(s.Installations) == 0 {
		fmt.Fprintf(w, "It is installed nowhere; install it: %s/installations/new\n", s.App.PageURL)
	}
	for _, in := range s.Installations {
		state := "belongs to " + in.OrganizationID
		switch {
		case in.Removed:
			state = "was taken off"
		case in.OrganizationID == "":
			state = "belongs to nobody yet: modfarm github connect " + in.Account + " --org NAMESPACE"
		}
		fmt.Fprintf(w, "Account       %s %s\n", in.Account, state)
	}
	for _, r := range s.Repositories {
		compared := "never"
		if !r.SweptAt.IsZero() {
			compared = r.SweptAt.Format(time.DateTime) + " UTC"
		}
		fmt.Fprintf(w, "Repository    %s builds %s, tags compared %s\n", r.Name, cmp.Or(strings.Join(r.Modules, ", "), "no module yet"), compared)
	}
	return nil
}

func newGitHubConnect(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var org string
	cmd := &cobra.Command{
		Use:   "connect ACCOUNT",
		Short: "Say to which organization a GitHub account belongs",
		Long: `Say to which organization a GitHub account belongs: its repositories may then
publish that organization's modules, and its builds may read them. On a farm with
one organization that is clear and needs no command.

Only owners of the farm's first organization may say so, because installing the App
does not prove whose an account is.`,
		Example: "  modfarm github connect acme-robotics --org acme",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			in, err := c.ConnectGitHubAccount(cmd.Context(), args[0], org)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), in.Account, in.OrganizationID)
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&org, "org", "", "namespace or id of the organization (default that of the key)")
	return cmd
}

func newGitHubTags(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var state, repository string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "tags",
		Short:   "Show what became of each tag",
		Example: "  modfarm github tags\n  modfarm github tags --repository acme/widget --state refused",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkCount(cmd, limit); err != nil {
				return err
			}
			if state != "" && !slices.Contains(tagStates(), state) {
				return hinted(usageError{fmt.Errorf("%s %q: no tag is ever that", sourceOf(cmd.Flags(), "state"), state)},
					"use one of %s", strings.Join(tagStates(), ", "))
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			tags, err := c.GitHubTags(cmd.Context(), repository, state, limit)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(tags)
			}
			return printTags(cmd.OutOrStdout(), tags)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&state, "state", "", "only those that are waiting, built, failed, refused, missing or deleted")
	cmd.Flags().StringVar(&repository, "repository", "", "only those of a repository, as acme/widget")
	cmd.Flags().IntVar(&limit, "count", 100, "at most so many, the last changed first")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(tagStates(), cobra.ShellCompDirectiveNoFileComp)) // it exists
	return cmd
}

// tagStates are what may become of a tag.
func tagStates() []string {
	return []string{"waiting", "built", "failed", "refused", "missing", "deleted"}
}

func printTags(w io.Writer, tags []client.GitHubTag) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REPOSITORY\tTAG\tSTATE\tCHANGED\tWHY")
	for _, t := range tags {
		state := t.State
		if t.Moved {
			state += ", moved"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.Repository, oneLine(t.Tag), state, t.ChangedAt.Format(time.DateTime), cmp.Or(oneLine(t.Reason), "-"))
	}
	return table.Flush()
}

func newGitHubSync(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var tag string
	cmd := &cobra.Command{
		Use:   "sync [OWNER/NAME]",
		Short: "Compare all tags with the ledger now, or have one tag built",
		Long: `Compare the tags of all repositories with the ledger now; the farm does it by
itself every ten minutes. Owners of the farm's first organization also have messages
of GitHub sent again that did not arrive. With --tag and a repository, have that tag built: also
one that is older than the App, or was refused or failed.`,
		Example: "  modfarm github sync\n  modfarm github sync --tag v1.2.3 acme/widget",
		Args:    maximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (tag == "") != (len(args) == 0) {
				return usageError{errors.New("--tag and OWNER/NAME belong together: give both for one tag, or neither to compare all")}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			if tag != "" {
				return c.BuildGitHubTag(cmd.Context(), args[0], tag)
			}
			swept, err := c.SyncGitHub(cmd.Context())
			if err != nil {
				return err
			}
			text := fmt.Sprintf("%d repositories compared, %d tags to look at", swept.Repositories, swept.Tags)
			if swept.Redelivered > 0 {
				text += fmt.Sprintf(", %d messages asked for again", swept.Redelivered)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&tag, "tag", "", "the tag to build")
	return cmd
}

func newGitHubDeliveries(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "Show the webhook's newest messages, and what came of them",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkCount(cmd, limit); err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			list, err := c.GitHubDeliveries(cmd.Context(), limit)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "RECEIVED\tEVENT\tOUTCOME\tGUID")
			for _, d := range list {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", d.ReceivedAt.Format(time.DateTime), strings.TrimSpace(d.Event+" "+d.Action), cmp.Or(oneLine(d.Outcome), "waiting"), d.GUID)
			}
			return table.Flush()
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().IntVar(&limit, "count", 50, "at most so many")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newGitHubSecret(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Accept a further webhook secret, read from standard input",
		Long: `Accept a further webhook secret, read from standard input, before the App is given
it at GitHub: no delivery is refused meanwhile. The last three are accepted.`,
		Example: "  openssl rand -hex 32 | tee new-secret | modfarm github secret",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file, ok := cmd.InOrStdin().(*os.File); ok && isTerminal(file) {
				return usageError{errors.New("the secret is read from standard input: pipe it in")}
			}
			const longest = 1 << 10
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), longest))
			if err != nil {
				return fmt.Errorf("read the secret: %w", err)
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			return c.AddGitHubWebhookSecret(cmd.Context(), strings.TrimSpace(string(text)))
		},
	}
	f.add(cmd.Flags())
	return cmd
}
