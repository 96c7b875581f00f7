package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// defaultMarkdown is the module's documentation when meta.json names none.
const defaultMarkdown = "README.md"

func newModuleUpdate(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Make the farm's record of a module what meta.json says",
		Long: `Make the farm's record of a module what meta.json says: visibility, description,
models, entrypoint and applications, with the Markdown that its markdown_link (by
default README.md) and those of its models name. A markdown_link may end with
#anchor for one section. What is published already stays as it was.

When meta.json names the organization by its id and the organization has a public
namespace by now, module_id is rewritten in the file.`,
		Example: "  modfarm module update --module widget/meta.json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			manifest, err := readManifest(path)
			if err != nil {
				return err
			}
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			if err := c.UpdateModule(cmd.Context(), manifest, documentation(cmd.ErrOrStderr(), manifest)); err != nil {
				return err
			}
			if err := renameManifest(cmd.Context(), c, path, manifest); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(created{Module: manifest.ID})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), manifest.ID)
			return err
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&path, "module", manifestFile, "the module's meta.json")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// renameManifest gives meta.json the public namespace that the organization of its id has.
func renameManifest(ctx context.Context, c *client.Client, path string, m *module.Manifest) error {
	if !m.ID.HasOrganizationUUID() {
		return nil
	}
	orgs, err := c.Login(ctx)
	if err != nil {
		return err
	}
	for _, org := range orgs {
		if strings.EqualFold(org.ID, m.ID.Namespace) && org.Namespace != "" {
			m.ID.Namespace = org.Namespace
			return writeManifest(path, m, os.O_TRUNC)
		}
	}
	return nil
}

// documentation reads what the markdown links of meta.json point to, by model, and under the empty name
// the module's own. What cannot be read is said, and left out.
func documentation(said io.Writer, m *module.Manifest) map[string]string {
	docs := map[string]string{}
	read := func(name, what, link string, must bool) {
		text, err := markdown(link)
		switch {
		case err == nil:
			docs[name] = text
		case must || !errors.Is(err, fs.ErrNotExist):
			fmt.Fprintf(said, "warning: %s %q: %v\n", what, link, err)
		}
	}
	if m.MarkdownLink != "" {
		read("", "markdown_link", m.MarkdownLink, true)
	} else {
		read("", "markdown_link", defaultMarkdown, false)
	}
	for i, model := range m.Models {
		if model.MarkdownLink != "" {
			read(model.Model, fmt.Sprintf("models[%d].markdown_link", i), model.MarkdownLink, true)
		}
	}
	return docs
}

// markdown reads a file, or the section of it that #anchor names.
func markdown(link string) (string, error) {
	path, anchor, section := strings.Cut(link, "#")
	text, err := os.ReadFile(path)
	if err != nil || !section {
		return string(text), err
	}
	if body, ok := module.MarkdownSection(string(text), anchor); ok {
		return body, nil
	}
	return "", fmt.Errorf("%s has no section %q", path, anchor)
}
