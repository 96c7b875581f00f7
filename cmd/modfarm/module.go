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
		Short: "Create, build, find and download modules",
		Long: `Create, build, find and download modules of a farm.

The farm and the API key are those that 'modfarm login' kept. MODFARM_URL,
MODFARM_KEY_ID and MODFARM_KEY win over it, which suits pipelines.`,
	}
	cmd.AddCommand(newModuleGenerate(lookup), newModuleCreate(lookup), newModuleUpdate(lookup), newModuleList(lookup), newModuleVersions(lookup),
		newModuleResolve(lookup), newModuleUpdateModels(), newModuleValidate(lookup), newModuleUpload(lookup), newModuleDownload(lookup), newModuleInfo(lookup), newModuleSearch(lookup), newModuleDeprecate(lookup),
		newModuleUndeprecate(lookup), newModuleDelete(lookup), newModuleLink(lookup), newModuleUnlink(lookup), newModuleLinks(lookup), newBuild(lookup))
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
	return "", foreignError{fmt.Errorf("%s: this key belongs to no organization with the namespace %q: use one of %q", id, id.Namespace, names)}
}

// foreignError is a namespace that the key has no part in.
type foreignError struct{ error }

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
