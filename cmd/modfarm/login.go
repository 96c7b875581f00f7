package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// loginFlags say where to log in, and as whom.
type loginFlags struct {
	farm       farmFlags
	keyID, key string
}

func (f *loginFlags) add(cmd *cobra.Command) {
	f.farm.add(cmd.Flags())
	cmd.Flags().StringVar(&f.keyID, "key-id", "", "the id of the API key")
	cmd.Flags().StringVar(&f.key, "key", "", "refused, as every user of the machine can read arguments: give the key when asked, on standard input or in the environment")
}

const loginText = `Check an API key and keep it, with the farm's address, as a login of this machine:
under --profile, or as "default". The login becomes the current one.

On a terminal what is not given is asked for: the farm's address, the id of the key,
and the key, without an echo. Where standard input is no terminal the key is read
from there: the key alone, or the lines MODFARM_URL=…, MODFARM_KEY_ID=… and
MODFARM_KEY=…, as in the file api-key.env of a farm's first start. MODFARM_KEY in
the environment is taken, too.`

func newLogin(lookup lookupFunc) *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Check an API key and keep it",
		Long:  loginText,
		Example: `  modfarm login --url https://farm.example.com
  modfarm login --profile work --url https://farm.example.com --key-id 7e64f1a2-35d2-4c0c-a7c5-0d5d7f3b1c11 < key.txt
  modfarm login < /var/lib/modfarm/api-key.env`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.login(cmd, lookup) },
	}
	f.add(cmd)
	cmd.AddCommand(newLoginAPIKey(lookup))
	return cmd
}

// newLoginAPIKey is how the stock command line spells login.
func newLoginAPIKey(lookup lookupFunc) *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use:     "api-key",
		Short:   "Check an API key and keep it; the same as 'modfarm login'",
		Long:    loginText,
		Example: "  modfarm login api-key --key-id 7e64f1a2-35d2-4c0c-a7c5-0d5d7f3b1c11",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.login(cmd, lookup) },
	}
	f.add(cmd)
	return cmd
}

func (f *loginFlags) login(cmd *cobra.Command, lookup lookupFunc) error {
	flags := cmd.Flags()
	if f.key != "" && sourceOf(flags, "key") == "--key" {
		return hinted(usageError{errors.New("--key is refused: every user of this machine can read the arguments of its programs")},
			"leave it out: the key is asked for, or read from standard input or from MODFARM_KEY; this key is known now, so replace it")
	}
	name := cmp.Or(flags.Lookup("profile").Value.String(), defaultProfile)
	if err := checkProfileName(name); err != nil {
		return err
	}
	at := connection{url: f.farm.url, keyID: f.keyID, key: f.key}
	if err := at.complete(cmd); err != nil {
		return err
	}
	at.url = cmp.Or(at.url, defaultURL)
	c, err := f.farm.dial(at)
	if err != nil {
		return err
	}
	who, err := c.WhoAmI(cmd.Context())
	if err != nil {
		return err
	}
	p, err := readProfiles(lookup)
	if err != nil {
		return err
	}
	p.Current, p.Logins[name] = name, profile{URL: c.URL(), KeyID: at.keyID, Key: at.key}
	if err := p.write(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "logged in as %s\n", identity{URL: c.URL(), Identity: who})
	return err
}

// longestSecret bounds what is read from standard input, in bytes.
const longestSecret = 64 << 10

// complete asks for what is not known yet: on a terminal by questions, elsewhere
// by reading standard input.
func (c *connection) complete(cmd *cobra.Command) error {
	if c.keyID != "" && c.key != "" {
		return nil
	}
	in := cmd.InOrStdin()
	if file, ok := in.(*os.File); ok && isTerminal(file) {
		return c.ask(cmd.Context(), file, cmd.ErrOrStderr())
	}
	text, err := io.ReadAll(io.LimitReader(in, longestSecret))
	if err != nil {
		return fmt.Errorf("read the key from standard input: %w", err)
	}
	c.read(text)
	switch {
	case c.key == "":
		return hinted(usageError{errors.New("there is no key on standard input")}, "pipe the key in, or set MODFARM_KEY")
	case c.keyID == "":
		return hinted(usageError{errors.New("the id of the key is missing")}, "give it with --key-id")
	}
	return nil
}

// read takes the lines of api-key.env, or a key alone. What is known stays.
func (c *connection) read(text []byte) {
	found := false
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		into := map[string]*string{"MODFARM_URL": &c.url, "MODFARM_KEY_ID": &c.keyID, "MODFARM_KEY": &c.key}[name]
		if into != nil {
			found = true
			*into = cmp.Or(*into, strings.Trim(value, `"'`))
		}
	}
	if !found {
		c.key = cmp.Or(c.key, string(bytes.TrimSpace(text)))
	}
}

// ask asks on a terminal; the key is not shown. An interrupt ends the question and
// leaves the terminal as it was.
func (c *connection) ask(ctx context.Context, in *os.File, out io.Writer) error {
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("ask for the key: %w", err)
	}
	answered := make(chan error, 1)
	go func() { answered <- c.questions(in, out) }()
	select {
	case err = <-answered:
	case <-ctx.Done():
		fmt.Fprintln(out)
		return errors.Join(ctx.Err(), term.Restore(int(in.Fd()), before))
	}
	if err != nil {
		return fmt.Errorf("ask for the key: %w", err)
	}
	if c.keyID == "" || c.key == "" {
		return usageError{errors.New("a login needs the id of a key and the key")}
	}
	return nil
}

// questions asks one after the other. A line of api-key.env is an answer, too.
func (c *connection) questions(in *os.File, out io.Writer) error {
	lines := bufio.NewReader(in) // a terminal gives one line at a time, so that none is kept from ReadPassword
	for _, q := range []struct {
		into                    *string
		question, shown, offers string
	}{{&c.url, "Farm", " [" + defaultURL + "]", defaultURL}, {&c.keyID, "Key id", "", ""}} {
		if *q.into != "" {
			continue
		}
		fmt.Fprint(out, q.question+q.shown+": ")
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		*q.into = cmp.Or(answered(line), q.offers)
	}
	if c.key == "" {
		fmt.Fprint(out, "Key (not shown): ")
		key, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(out)
		if err != nil {
			return err
		}
		c.key = answered(string(key))
	}
	return nil
}

// answered is what a line says, with or without the name of a variable before it.
func answered(line string) string {
	line = strings.TrimSpace(line)
	if name, value, found := strings.Cut(line, "="); found && strings.HasPrefix(name, "MODFARM_") {
		return strings.Trim(value, `"'`)
	}
	return line
}

func newLogout(lookup lookupFunc) *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget the current login, or that of --profile; its key stays valid until it is revoked",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return forget(cmd, lookup, cmd.Flags().Lookup("profile").Value.String())
		},
	}
}

// identity is what whoami shows.
type identity struct {
	URL     string `json:"url"`
	Profile string `json:"profile,omitempty"`
	client.Identity
}

func newWhoami(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show which key is used, at which farm, and what it is good for",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			who, err := f.identify(cmd.Context(), lookup)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(who)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), who)
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// String begins as whoami of the stock command line does.
func (i identity) String() string {
	text := fmt.Sprintf("key-%s at %s: %s of %q", i.Key.ID, i.URL, i.Key.Role, i.Organization.Name)
	text += phrase(" with the namespace ", i.Organization.Namespace) + phrase(", for the module ", i.Key.Module)
	if !i.Key.ExpiresAt.IsZero() {
		text += ", until " + day(i.Key.ExpiresAt)
	}
	return text
}

func (f *farmFlags) identify(ctx context.Context, lookup lookupFunc) (identity, error) {
	at, err := f.connection(lookup)
	if err != nil {
		return identity{}, err
	}
	c, err := f.dial(at)
	if err != nil {
		return identity{}, err
	}
	who, err := c.WhoAmI(ctx)
	if errors.Is(err, module.ErrUnauthorized) && at.profile != "" {
		err = hinted(err, "log in again with 'modfarm login --url %s --profile %s'", at.url, at.profile)
	}
	return identity{URL: c.URL(), Profile: at.profile, Identity: who}, err
}
