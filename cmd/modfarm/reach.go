package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// reachFlags say what builds reach besides the public internet.
type reachFlags struct {
	allow, registries []string
}

func (f *reachFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.allow, "build-allow", nil,
		"private addresses that builds may reach, as 10.1.0.0/16 or 10.1.2.3:443 (may be repeated; by default none, and not this machine)")
	flags.StringSliceVar(&f.registries, "build-registry", nil,
		"hosts that steps with 'network: registries' may reach besides the public registries and the hosts in --build-env, as HOST, HOST:PORT or *.DOMAIN (may be repeated)")
}

// parse checks the flags; all mistakes at once.
func (f *reachFlags) parse() (docker.Reach, error) {
	var r docker.Reach
	var faults []error
	for _, s := range f.allow {
		d, err := guard.ParseDestination(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("--build-allow %w", err))
		}
		r.Allow = append(r.Allow, d)
	}
	for _, s := range f.registries {
		host, err := guard.ParseRegistry(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("--build-registry %w", err))
		}
		r.Registries = append(r.Registries, host)
	}
	if err := errors.Join(faults...); err != nil {
		return docker.Reach{}, usageError{err}
	}
	return r, nil
}
