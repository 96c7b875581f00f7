package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// changed is what a command changed, as --json prints it.
type changed struct {
	Module module.ID `json:"module"`
	// Version is absent for the module as a whole.
	Version module.Version `json:"version,omitzero"`
	// Deprecated is what holds now.
	Deprecated bool `json:"deprecated"`
	// Message is why.
	Message string `json:"message,omitempty"`
}

func newModuleDeprecate(lookup lookupFunc) *cobra.Command {
	var message string
	cmd := newModuleChange(lookup, func(cmd *cobra.Command, c *client.Client, what *changed) error {
		if message == "" {
			return hinted(usageError{errors.New("no --message")}, "say why, and what to use instead: --message 'loses data; use 1.0.2'")
		}
		what.Deprecated, what.Message = true, message
		return c.Deprecate(cmd.Context(), what.Module, what.Version, message)
	})
	cmd.Use = "deprecate MODULE[@VERSION]"
	cmd.Short = "Say that nobody should choose a module or a version any more"
	cmd.Long = `Say that nobody should choose a module, or one version of it, any more. Nothing is
removed: machines keep what they run, and who names the version still gets it, with
the message. It is no longer the latest, and a deprecated module is not listed.

Again with another message replaces the message.`
	cmd.Example = `  modfarm module deprecate acme:widget@1.0.1 --message 'loses data; use 1.0.2'
  modfarm module deprecate acme:widget --message 'use acme:gadget'`
	cmd.Flags().StringVarP(&message, "message", "m", "", "why, and what to use instead: one line")
	return cmd
}

func newModuleUndeprecate(lookup lookupFunc) *cobra.Command {
	cmd := newModuleChange(lookup, func(cmd *cobra.Command, c *client.Client, what *changed) error {
		return c.Undeprecate(cmd.Context(), what.Module, what.Version)
	})
	cmd.Use = "undeprecate MODULE[@VERSION]"
	cmd.Short = "Take the deprecation of a module or a version back"
	cmd.Example = "  modfarm module undeprecate acme:widget@1.0.1"
	return cmd
}

// newModuleChange is a command that changes a module or one version.
func newModuleChange(lookup lookupFunc, change func(*cobra.Command, *client.Client, *changed) error) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var what changed
			if what.Module, what.Version, err = parseSpec(args[0]); err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			if err := change(cmd, c, &what); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(what)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), spec(what.Module, what.Version))
			return err
		},
		ValidArgsFunction: completeSpecs(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// spec is MODULE or MODULE@VERSION.
func spec(id module.ID, v module.Version) string {
	if v.IsZero() {
		return id.String()
	}
	return id.String() + "@" + v.String()
}
