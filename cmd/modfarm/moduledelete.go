package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// deleteFlags say what to delete.
type deleteFlags struct {
	farm      farmFlags
	platform  string
	yes, json bool
}

// deleted is what is gone, as --json prints it.
type deleted struct {
	Module module.ID `json:"module"`
	// Version is absent when the module itself is gone.
	Version  module.Version  `json:"version,omitzero"`
	Archives []client.Upload `json:"archives"`
}

func newModuleDelete(lookup lookupFunc) *cobra.Command {
	var f deleteFlags
	cmd := &cobra.Command{
		Use:   "delete MODULE[@VERSION]",
		Short: "Delete a module, a version, or one platform of a version",
		Long: `Delete a module, a version, or with --platform one platform of a version, for ever:
the number of a deleted version can never be published again.

It is refused while in use: while a build of it is under way, or when a machine or
another organization fetched it within 30 days. Then deprecate it instead. It takes
the key of an owner.

It asks first. Where nobody can answer, --yes is needed.`,
		Example: `  modfarm module delete acme:widget@1.0.1
  modfarm module delete acme:widget@1.0.1 --platform linux/arm64 --yes`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], lookup) },
	}
	cmd.ValidArgsFunction = completeSpecs(&f.farm, lookup)
	f.farm.add(cmd.Flags())
	cmd.Flags().StringVar(&f.platform, "platform", "", "only the archives for this platform")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *deleteFlags) run(cmd *cobra.Command, text string, lookup lookupFunc) error {
	id, v, err := parseSpec(text)
	if err != nil {
		return err
	}
	platform, err := f.platformOf(cmd, v)
	if err != nil {
		return err
	}
	c, err := f.farm.client(lookup)
	if err != nil {
		return err
	}
	what := spec(id, v)
	if f.platform != "" {
		what += " for " + platform.String()
	}
	if err := f.confirm(cmd, what); err != nil {
		return err
	}
	gone, err := c.Delete(cmd.Context(), id, v, platform)
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(deleted{Module: id, Version: v, Archives: gone})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "deleted %s: %s\n", what, archives(len(gone)))
	return err
}

func (f *deleteFlags) platformOf(cmd *cobra.Command, v module.Version) (module.Platform, error) {
	if f.platform == "" {
		return module.Platform{}, nil
	}
	name := sourceOf(cmd.Flags(), "platform")
	if v.IsZero() {
		return module.Platform{}, hinted(usageError{fmt.Errorf("%s without a version", name)}, "name it as MODULE@VERSION")
	}
	p, err := module.ParsePlatform(f.platform)
	if err != nil {
		return p, usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return p, nil
}

func archives(n int) string {
	if n == 1 {
		return "1 archive"
	}
	return fmt.Sprintf("%d archives", n)
}

// confirm asks, and takes nothing but yes.
func (f *deleteFlags) confirm(cmd *cobra.Command, what string) error {
	if f.yes {
		return nil
	}
	p := newPrompter(cmd.InOrStdin(), cmd.ErrOrStderr())
	if p == nil {
		return hinted(usageError{fmt.Errorf("nobody is there to be asked whether %s should go for ever", what)}, "add --yes when it should")
	}
	answer, err := p.ask(fmt.Sprintf("Delete %s for ever? (yes or no)", what), "no", func(string) error { return nil })
	if err != nil {
		return err
	}
	if !strings.EqualFold(answer, "yes") && !strings.EqualFold(answer, "y") {
		return errors.New("nothing was deleted")
	}
	return nil
}
