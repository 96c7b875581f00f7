package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func newModule(lookup lookupFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "module",
		Short: "Create, build and download modules",
		Long: `Create, build and download modules of a farm.

The farm is --url or MODFARM_URL; the API key is MODFARM_KEY_ID and MODFARM_KEY.`,
	}
	cmd.AddCommand(newModuleGenerate(lookup), newModuleCreate(lookup), newModuleUpdate(lookup), newModuleList(lookup), newModuleVersions(lookup), newModuleResolve(lookup),
		newModuleUpload(lookup), newModuleDownload(lookup), newBuild(lookup))
	return cmd
}

func newModuleCreate(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	cmd := &cobra.Command{
		Use:     "create MODULE",
		Short:   "Make a module, named as namespace:name",
		Example: "  modfarm module create acme:widget",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := module.ParseID(args[0])
			if err != nil {
				return usageError{err}
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			org, err := ownerOf(cmd.Context(), c, id)
			if err != nil {
				return err
			}
			made, err := c.CreateModule(cmd.Context(), org, id.Name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), made)
			return err
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// ownerOf finds the organization that a module id's namespace names.
func ownerOf(ctx context.Context, c *client.Client, id module.ID) (string, error) {
	orgs, err := c.Login(ctx)
	if err != nil {
		return "", err
	}
	var names []string
	for _, org := range orgs {
		if org.Namespace == id.Namespace || org.ID == id.Namespace {
			return org.ID, nil
		}
		names = append(names, org.Namespace)
	}
	return "", fmt.Errorf("%s: this key belongs to no organization with the namespace %q: use one of %q", id, id.Namespace, names)
}

// readManifest reads meta.json for a command of the client.
func readManifest(path string) (*module.Manifest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--module: %w: go to the module's folder, or name its meta.json with --module", err)
	}
	manifest, err := module.ParseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", path, err)
	}
	return manifest, nil
}

func newModuleUpdate(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var path string
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Make the farm's record of a module what meta.json says",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			manifest, err := readManifest(path)
			if err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			if err := c.UpdateModule(cmd.Context(), manifest, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), manifest.ID)
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&path, "module", "meta.json", "the module's meta.json")
	return cmd
}
