package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// farmFlags say which farm a client command talks to. The key comes from the
// environment only: an argument would show in the list of processes.
type farmFlags struct {
	url   string
	flags *pflag.FlagSet
}

func (f *farmFlags) add(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVar(&f.url, "url", "http://127.0.0.1:8080", "the farm")
}

func (f *farmFlags) client(lookup lookupFunc) (*client.Client, error) {
	id, _ := lookup("MODFARM_KEY_ID")
	key, _ := lookup("MODFARM_KEY")
	if id == "" || key == "" {
		return nil, errors.New("MODFARM_KEY_ID and MODFARM_KEY are not both set: put an API key of the farm into the environment; the first one was shown, or written to api-key.env in the data folder, when the farm first started")
	}
	c, err := client.New(client.Config{URL: f.url, KeyID: id, Key: key, UserAgent: "modfarm/" + version()})
	if err != nil {
		if fault, ok := errors.AsType[module.Fault](err); ok {
			fault.Path = sourceOf(f.flags, "url")
			err = fault
		}
		return nil, usageError{err}
	}
	return c, nil
}

// again is what a command needs behind it to reach the same farm.
func (f *farmFlags) again() string {
	if f.flags.Changed("url") && sourceOf(f.flags, "url") == "--url" {
		return " --url " + f.url
	}
	return ""
}
