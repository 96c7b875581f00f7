package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/scaffold"
)

// sensorSubtype is the one API that there are templates for.
const sensorSubtype = "sensor"

// generateFlags are what a new project is made from; empty ones are asked for.
type generateFlags struct {
	farm                                    farmFlags
	name, namespace, language, model        string
	visibility, url, description, subtype   string
	dir                                     string
	register, dryRun, asJSON, withoutAsking bool
}

func newModuleGenerate(lookup lookupFunc) *cobra.Command {
	var g generateFlags
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Start a new module: a small project that builds, runs and is tested",
		Long: `Start a new module: a folder with a small project that builds, runs, serves the
module protocol, has tests, and is published when a version tag is pushed. Its
meta.json names the farm's schema, for editors, when a farm is known.

On a terminal it asks for what no flag says. Elsewhere --name, --language and
--public-namespace are required.`,
		Example: `  modfarm module generate
  modfarm module generate --name widget --public-namespace acme --language go
  modfarm module generate --name widget --public-namespace acme --language python --register`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return g.run(cmd, lookup) },
	}
	flags := cmd.Flags()
	g.farm.add(flags)
	flags.StringVar(&g.name, "name", "", "the module's name, such as widget; also names the folder")
	flags.StringVar(&g.namespace, "public-namespace", "", "the public namespace, or the id, of the organization that owns the module")
	flags.StringVar(&g.language, "language", "", "go or python")
	flags.StringVar(&g.model, "model-name", "", "the name of the model that the module serves (default sensor)")
	flags.StringVar(&g.subtype, "resource-subtype", sensorSubtype, "the API of the model; there is a template for sensor")
	flags.StringVar(&g.visibility, "visibility", string(module.VisibilityPrivate), "private, public or public_unlisted")
	flags.StringVar(&g.url, "repository", "", "the repository that the module will live in, as https://github.com/acme/widget")
	flags.StringVar(&g.description, "description", "", "what the module is, in a line")
	flags.StringVar(&g.dir, "dir", "", "the folder to make (default the module's name)")
	flags.BoolVar(&g.register, "register", false, "also make the module on the farm")
	flags.BoolVar(&g.dryRun, "dry-run", false, "only say which files would be made")
	flags.BoolVar(&g.withoutAsking, "no-input", false, "never ask; what is missing is an error")
	flags.BoolVar(&g.asJSON, "json", false, "print JSON")
	complete := func(name string, values ...string) {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // it exists
	}
	complete("language", string(scaffold.Go), string(scaffold.Python))
	complete("resource-subtype", sensorSubtype)
	complete("visibility", string(module.VisibilityPrivate), string(module.VisibilityPublic), string(module.VisibilityPublicUnlisted))
	return cmd
}

func (g *generateFlags) run(cmd *cobra.Command, lookup lookupFunc) error {
	if g.subtype != sensorSubtype {
		return usageError{fmt.Errorf("--resource-subtype %s: there is a template for sensor only; generate that and exchange the service for another API's", g.subtype)}
	}
	if err := g.complete(cmd, lookup); err != nil {
		return err
	}
	p, err := g.project(g.farm.schema(lookup))
	if err != nil {
		return usageError{err}
	}
	files, err := scaffold.Files(p)
	if err != nil {
		return usageError{err}
	}
	dir := cmp.Or(g.dir, p.ID.Name)
	if !g.dryRun {
		if err := g.make(cmd.Context(), lookup, p, dir, files); err != nil {
			return err
		}
	}
	return g.tell(cmd.OutOrStdout(), cmd.ErrOrStderr(), p, dir, files)
}

// make writes the folder before it registers: that fails more often, and a module without a folder would be left
// behind. A namespace that can never be registered is refused before either.
func (g *generateFlags) make(ctx context.Context, lookup lookupFunc, p scaffold.Project, dir string, files []scaffold.File) error {
	var c *client.Client
	var org string
	var err error
	if g.register {
		if c, err = g.farm.client(lookup); err == nil {
			org, err = ownerOf(ctx, c, p.ID)
		}
		if _, foreign := errors.AsType[foreignError](err); foreign {
			return usageError{err}
		}
	}
	if err := scaffold.Write(dir, files); err != nil {
		return err
	}
	if g.register && err == nil {
		_, err = c.CreateModule(ctx, org, p.ID.Name)
	}
	later := fmt.Sprintf("the project is in %s; register it later with 'modfarm module create %s'", dir, p.ID)
	if errors.Is(err, module.ErrUnauthorized) {
		later += ", after 'modfarm login'"
	}
	return hinted(err, "%s", later)
}

// complete asks for what is missing, or names it.
func (g *generateFlags) complete(cmd *cobra.Command, lookup lookupFunc) error {
	var someone *prompter
	if !g.withoutAsking {
		someone = newPrompter(cmd.InOrStdin(), cmd.ErrOrStderr())
	}
	questions := []struct {
		flag, question, offered string
		value                   *string
		check                   func(string) error
	}{
		{"name", "Name of the module", "", &g.name, func(s string) error { return checkPart(s, "widget") }},
		{"public-namespace", "Public namespace of your organization", g.ownNamespace(cmd, lookup), &g.namespace, func(s string) error { return checkPart("acme", s) }},
		{"language", "Language (go or python)", string(scaffold.Go), &g.language, checkLanguage},
		{"model-name", "Name of its model", "sensor", &g.model, checkModel},
	}
	var missing []string
	for _, q := range questions {
		switch {
		case *q.value != "":
		case someone != nil:
			answer, err := someone.ask(q.question, q.offered, q.check)
			if err != nil {
				return err
			}
			*q.value = answer
		case q.flag == "model-name", q.flag == "public-namespace" && q.offered != "":
			*q.value = q.offered
		default:
			missing = append(missing, "--"+q.flag)
		}
	}
	if len(missing) > 0 {
		return usageError{fmt.Errorf("nobody is at a terminal to be asked: give %s", strings.Join(missing, ", "))}
	}
	return nil
}

// ownNamespace is what the ids of the only organization of the key begin with. A farm is only asked when a key is at
// hand and no flag names a namespace; no answer is no offer.
func (g *generateFlags) ownNamespace(cmd *cobra.Command, lookup lookupFunc) string {
	if g.namespace != "" {
		return ""
	}
	c, err := g.farm.client(lookup)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	orgs, err := c.Login(ctx)
	if err != nil || len(orgs) != 1 {
		return ""
	}
	return cmp.Or(orgs[0].Namespace, orgs[0].ID)
}

func checkPart(name, namespace string) error {
	_, err := module.ParseID(namespace + ":" + name)
	return err
}

func checkLanguage(s string) error {
	if !slices.Contains(scaffold.Languages(), scaffold.Language(s)) {
		return fmt.Errorf("%q: there are templates for go and python", s)
	}
	return nil
}

func checkModel(s string) error {
	return scaffold.Project{ID: module.ID{Namespace: "acme", Name: "widget"}, Language: scaffold.Go, ModelName: s}.Check()
}

func (g *generateFlags) project(schema string) (scaffold.Project, error) {
	id, err := module.ParseID(g.namespace + ":" + g.name)
	if err != nil {
		return scaffold.Project{}, fmt.Errorf("--public-namespace and --name: %w", err)
	}
	return scaffold.Project{
		ID: id, Language: scaffold.Language(g.language), ModelName: g.model, Visibility: module.Visibility(g.visibility),
		URL: g.url, Description: strings.TrimSuffix(g.description, "."), Schema: schema,
	}, nil
}

func (g *generateFlags) tell(out, people io.Writer, p scaffold.Project, dir string, files []scaffold.File) error {
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, filepath.ToSlash(f.Path))
	}
	if g.asJSON {
		return json.NewEncoder(out).Encode(struct {
			Module   string   `json:"module_id"`
			Model    string   `json:"model"`
			Language string   `json:"language"`
			Dir      string   `json:"dir"`
			Files    []string `json:"files"`
			DryRun   bool     `json:"dry_run,omitempty"`
		}{p.ID.String(), p.Model(), g.language, dir, names, g.dryRun})
	}
	if g.dryRun {
		_, err := fmt.Fprintln(out, strings.Join(names, "\n"))
		return err
	}
	if _, err := fmt.Fprintln(out, dir); err != nil {
		return err
	}
	fmt.Fprintf(people, "\nA %s module that serves %s. Next:\n\n  cd %s\n  make test\n", g.language, p.Model(), dir)
	if !g.register {
		fmt.Fprintf(people, "  modfarm module create %s\n", p.ID)
	}
	fmt.Fprintf(people, "  modfarm module build start --from-source --version 0.1.0 --wait\n")
	return nil
}
