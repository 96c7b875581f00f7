package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/scaffold"
	"github.com/modfarm/modfarm/proto/wire"
)

// farmFlags say which farm a client command talks to, and connection finds with
// which key. The key comes from the environment or from a login that is kept,
// never from an argument: that would show in the list of processes.
type farmFlags struct {
	url   string
	flags *pflag.FlagSet
}

func (f *farmFlags) add(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVar(&f.url, "url", "", "the farm, as https://farm.example.com (default the one of the login, or http://127.0.0.1:8080)")
}

// defaultURL is where 'modfarm up' listens.
const defaultURL = "http://127.0.0.1:8080"

// connection is a farm and who talks to it.
type connection struct {
	url, keyID, key string
	profile         string // the login that it came from; empty for the environment
}

// connection decides in this order: the login that --profile names on the command
// line; MODFARM_KEY_ID and MODFARM_KEY; the login that is kept. A key that is kept
// for one farm is never shown to another.
func (f *farmFlags) connection(lookup lookupFunc) (connection, error) {
	name, named := f.profile()
	id, _ := lookup("MODFARM_KEY_ID")
	key, _ := lookup("MODFARM_KEY")
	switch {
	case named:
	case id != "" && key != "":
		c := connection{url: f.url, keyID: id, key: key}
		if c.url == "" {
			c.url = defaultURL
		}
		return c, nil
	case id != "" || key != "":
		return connection{}, hinted(fmt.Errorf("%w: MODFARM_KEY_ID and MODFARM_KEY are not both set", module.ErrUnauthorized),
			"set both, or neither to use a login that is kept")
	}
	p, err := readProfiles(lookup)
	if err == nil {
		name, _, err = p.choose(name)
	}
	if err != nil {
		return connection{}, f.notLoggedIn(named || name != "" && name != defaultProfile, err)
	}
	login := p.Logins[name]
	ignored := named && sourceOf(f.flags, "url") != "--url" // what is named on the command line wins over the environment
	if f.url != "" && f.url != login.URL && !ignored {
		return connection{}, hinted(
			usageError{fmt.Errorf("%s is %s, and the login %q is for %s", sourceOf(f.flags, "url"), f.url, name, login.URL)},
			"leave it out, or log in there with 'modfarm login --url %s --profile NAME'", f.url)
	}
	return connection{url: login.URL, keyID: login.KeyID, key: login.Key, profile: name}, nil
}

// profile is the login that is asked for; named says that the command line does.
func (f *farmFlags) profile() (name string, named bool) {
	name = f.flags.Lookup("profile").Value.String()
	return name, name != "" && sourceOf(f.flags, "profile") == "--profile"
}

// notLoggedIn is the error of somebody who never logged in, unless they asked for
// a login by its name.
func (f *farmFlags) notLoggedIn(byName bool, err error) error {
	if byName || !errors.Is(err, module.ErrNotFound) {
		return err
	}
	return hinted(fmt.Errorf("%w: nobody is logged in, and MODFARM_KEY_ID and MODFARM_KEY are not both set", module.ErrUnauthorized),
		"log in with 'modfarm login'; the first key was shown, or written to api-key.env in the data folder, when the farm first started")
}

func (f *farmFlags) client(lookup lookupFunc) (*client.Client, error) {
	at, err := f.connection(lookup)
	if err != nil {
		return nil, err
	}
	return f.dial(at)
}

// dial makes the client; nothing is sent yet.
func (f *farmFlags) dial(at connection) (*client.Client, error) {
	c, err := client.New(client.Config{URL: at.url, KeyID: at.keyID, Key: at.key, UserAgent: "modfarm/" + version()})
	if err != nil {
		if fault, ok := errors.AsType[module.Fault](err); ok {
			fault.Path = sourceOf(f.flags, "url")
			err = fault
		}
		return nil, usageError{err}
	}
	return c, nil
}

// address is where the farm is, for what needs no key: of the login, or the one that is named.
func (f *farmFlags) address(lookup lookupFunc) (string, error) {
	at, err := f.connection(lookup)
	if err == nil {
		return at.url, nil
	}
	if _, named := f.profile(); f.url != "" && !named {
		return f.url, nil
	}
	return "", err
}

// schema is where editors find the meaning of meta.json's keys: at the farm, when one is known, else at the project's
// repository. Nobody is asked.
func (f *farmFlags) schema(lookup lookupFunc) string {
	farm, err := f.address(lookup)
	if err != nil {
		return scaffold.DefaultSchema
	}
	return strings.TrimRight(farm, "/") + wire.PathSchema
}

// again is what a command needs behind it to reach the same farm.
func (f *farmFlags) again() string {
	var text strings.Builder
	for _, name := range []string{"url", "profile"} {
		if f.flags.Changed(name) && sourceOf(f.flags, name) == "--"+name {
			text.WriteString(" --" + name + " " + f.flags.Lookup(name).Value.String())
		}
	}
	return text.String()
}
