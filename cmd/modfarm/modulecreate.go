package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// manifestFile is where a module's folder has its meta.json.
const manifestFile = "meta.json"

// createFlags are those of the stock command line.
type createFlags struct {
	farm            farmFlags
	name, namespace string
	orgID           string
	localOnly       bool
	json            bool
}

// created is what 'module create' made, as --json prints it.
type created struct {
	Module module.ID `json:"module"`
	// File is the meta.json that was written; empty for none.
	File string `json:"file,omitempty"`
}

func newModuleCreate(lookup lookupFunc) *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create [MODULE]",
		Short: "Make a module, named as namespace:name",
		Long: `Make a module on the farm. It is private and empty until something is published.

Without MODULE it is the one of this folder's meta.json. Nothing else happens. With --name, as on the stock command line, also
a meta.json is written into the current folder, which must not have one.`,
		Example: `  modfarm module create acme:widget
  modfarm module create --name widget --public-namespace acme
  modfarm module create --name widget --public-namespace acme --local-only`,
		Args: maximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args, lookup) },
	}
	f.farm.add(cmd.Flags())
	cmd.Flags().StringVar(&f.name, "name", "", "the module's name; also write meta.json into the current folder")
	cmd.Flags().StringVar(&f.namespace, "public-namespace", "", "the public namespace of the organization that owns the module")
	cmd.Flags().StringVar(&f.orgID, "org-id", "", "the id of that organization instead (default the one of the key)")
	cmd.Flags().BoolVar(&f.localOnly, "local-only", false, "write meta.json only, and tell the farm nothing")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *createFlags) run(cmd *cobra.Command, args []string, lookup lookupFunc) error {
	args, err := f.orOfFolder(cmd, args)
	if err == nil {
		err = f.check(cmd, args)
	}
	if err != nil {
		return err
	}
	var made created
	switch {
	case len(args) == 1:
		made.Module, err = f.onFarm(cmd.Context(), args[0], lookup)
	case f.localOnly:
		made.Module, err = module.ParseID(f.prefix() + ":" + f.name)
		if err != nil {
			return usageError{err}
		}
	default:
		made.Module, err = f.asStock(cmd.Context(), lookup)
	}
	if err != nil {
		return err
	}
	if len(args) == 0 {
		fresh := &module.Manifest{Schema: f.farm.schema(lookup), ID: made.Module, Visibility: module.VisibilityPrivate}
		if err := writeManifest(manifestFile, fresh, os.O_EXCL); err != nil {
			return err
		}
		made.File = manifestFile
	}
	if f.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(made)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), made.Module)
	return err
}

// given are the flags of the stock command line that have a value, or what gave it to them.
func (f *createFlags) given(cmd *cobra.Command) (names []string) {
	for _, name := range []string{"name", "public-namespace", "org-id", "local-only"} {
		if cmd.Flags().Changed(name) {
			names = append(names, sourceOf(cmd.Flags(), name))
		}
	}
	return names
}

// orOfFolder names the module of this folder when nothing else names one.
func (f *createFlags) orOfFolder(cmd *cobra.Command, args []string) ([]string, error) {
	if len(args) > 0 || len(f.given(cmd)) > 0 {
		return args, nil
	}
	manifest, err := readManifest(manifestFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return args, nil // which check refuses
	case err != nil:
		return nil, err
	}
	return []string{manifest.ID.String()}, nil
}

func (f *createFlags) prefix() string {
	if f.namespace != "" {
		return f.namespace
	}
	return f.orgID
}

// check refuses what cannot be meant, and a folder that has a meta.json, before anything is made.
func (f *createFlags) check(cmd *cobra.Command, args []string) error {
	given := f.given(cmd)
	switch {
	case len(args) == 1 && len(given) > 0:
		return hinted(usageError{fmt.Errorf("MODULE together with %s of the stock command line", strings.Join(given, ", "))}, "write either 'modfarm module create acme:widget' or --name and --public-namespace")
	case len(args) == 1:
		return nil
	case f.name == "":
		return hinted(usageError{errors.New("no module is named, and this folder has no meta.json")}, "usage: %s", cmd.UseLine())
	case f.namespace != "" && f.orgID != "":
		return hinted(usageError{errors.New("--public-namespace and --org-id together")}, "name the organization by one of them")
	case f.orgID != "" && uuid.Validate(f.orgID) != nil:
		return hinted(usageError{fmt.Errorf("--org-id %q is not the id of an organization", f.orgID)}, "take one from 'modfarm org list', or use --public-namespace")
	case f.localOnly && f.prefix() == "":
		return hinted(usageError{errors.New("--local-only without an organization")}, "name it with --public-namespace or --org-id")
	}
	if _, err := os.Stat(manifestFile); !errors.Is(err, fs.ErrNotExist) {
		return hinted(errors.New("this folder has a meta.json already"), "go to an empty folder, or make the module alone with 'modfarm module create NAMESPACE:NAME'")
	}
	return nil
}

// onFarm makes a module that is named by its id.
func (f *createFlags) onFarm(ctx context.Context, text string, lookup lookupFunc) (module.ID, error) {
	id, err := module.ParseID(text)
	if err != nil {
		return module.ID{}, usageError{err}
	}
	c, err := f.farm.client(lookup)
	if err != nil {
		return module.ID{}, err
	}
	org, err := ownerOf(ctx, c, id)
	if err != nil {
		return module.ID{}, err
	}
	return c.CreateModule(ctx, org, id.Name)
}

// asStock makes a module whose organization is named by flags, or is the only one of the key.
func (f *createFlags) asStock(ctx context.Context, lookup lookupFunc) (module.ID, error) {
	c, err := f.farm.client(lookup)
	if err != nil {
		return module.ID{}, err
	}
	if f.prefix() == "" {
		return f.inOnlyOrg(ctx, c)
	}
	org, err := ownerOf(ctx, c, module.ID{Namespace: f.prefix(), Name: f.name})
	if err != nil {
		return module.ID{}, err
	}
	return c.CreateModule(ctx, org, f.name)
}

func (f *createFlags) inOnlyOrg(ctx context.Context, c *client.Client) (module.ID, error) {
	orgs, err := c.Login(ctx)
	if err != nil {
		return module.ID{}, err
	}
	if len(orgs) != 1 {
		return module.ID{}, hinted(usageError{fmt.Errorf("the key is good for %d organizations", len(orgs))}, "name one with --public-namespace or --org-id")
	}
	return c.CreateModule(ctx, orgs[0].ID, f.name)
}

// writeManifest writes meta.json; mode is O_EXCL for a new file, O_TRUNC for one that is there.
func writeManifest(path string, m *module.Manifest, mode int) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|mode, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	_, err = file.Write(append(text, '\n'))
	return errors.Join(err, file.Close())
}
