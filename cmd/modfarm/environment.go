package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// withoutTwin marks a flag that the environment does not stand for.
const withoutTwin = "modfarm_without_twin"

// twin is the environment variable that stands for a flag. --help and --version
// have none: MODFARM_VERSION is something that scripts of builds are told.
func twin(f *pflag.Flag) (name string, ok bool) {
	_, without := f.Annotations[withoutTwin]
	return "MODFARM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")), f.Name != "help" && f.Name != "version" && !without
}

// ownNames leaves MODFARM_NAME to workers: what a key, a module or an App is to be
// called is said anew each time, and a worker's name must not become theirs.
func ownNames(cmd *cobra.Command) {
	if f := cmd.LocalFlags().Lookup("name"); f != nil && cmd.Name() != "worker" && cmd.Name() != "up" {
		f.Annotations = map[string][]string{withoutTwin: nil}
	}
	for _, sub := range cmd.Commands() {
		ownNames(sub)
	}
}

// fromTwin marks a flag whose value came from the environment.
const fromTwin = "modfarm_environment"

// sourceOf names what gave a flag its value, for messages: --url or MODFARM_URL.
func sourceOf(flags *pflag.FlagSet, name string) string {
	if f := flags.Lookup(name); f != nil {
		if given := f.Annotations[fromTwin]; len(given) == 1 {
			return given[0]
		}
	}
	return "--" + name
}

// fromEnvironment sets each flag that was not given from its environment twin.
func fromEnvironment(flags *pflag.FlagSet, lookup lookupFunc) error {
	var faults []error
	flags.VisitAll(func(f *pflag.Flag) {
		name, ok := twin(f)
		if !ok || f.Changed {
			return
		}
		value, ok := lookup(name)
		if !ok || value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			faults = append(faults, fmt.Errorf("%s=%q in the environment (the twin of --%s): %w", name, value, f.Name, err))
			return
		}
		f.Annotations = map[string][]string{fromTwin: {name}}
	})
	if len(faults) > 0 {
		return usageError{errors.Join(faults...)}
	}
	return nil
}

// showTwins ends the help of each flag with its environment twin.
func showTwins(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if name, ok := twin(f); ok {
			f.Usage += " [$" + name + "]"
		}
	})
	for _, sub := range cmd.Commands() {
		showTwins(sub)
	}
}
