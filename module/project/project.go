// Package project checks the folder of a module before anything is sent: meta.json, modfarm.yaml, the
// scripts of the build, and the archive if it is built. It says everything that a farm would refuse
// later, all at once, and never changes or runs anything.
package project

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// Finding is one thing wrong with a file of the project.
type Finding struct {
	// File is where it is, relative to the project's folder.
	File string `json:"file"`
	module.Fault
}

// String prints the finding on one line.
func (f Finding) String() string { return f.File + ": " + f.Fault.String() }

// Report is what was found. Warnings refuse nothing.
type Report struct {
	// Module is the manifest's; zero when it cannot be read.
	Module   module.ID `json:"module"`
	Errors   []Finding `json:"errors"`
	Warnings []Finding `json:"warnings"`
}

// Project is a folder to check. Dir must be set.
type Project struct {
	// Dir is the module's folder: the workdir of its builds.
	Dir *os.Root
	// Manifest is the path of meta.json in Dir; empty for meta.json.
	Manifest string
	// Up is how many folders above Dir belong to the repository too.
	Up int
	// Platform is what the archive was built for; zero leaves that unchecked.
	Platform module.Platform
}

// The names of the files that a project has in its folder.
const (
	manifestName = "meta.json"
	settingsName = "modfarm.yaml"
)

// checking is a check under way.
type checking struct {
	Project
	report Report
}

// Check checks the project, and its archive when archive, a path in its folder, is not empty. The error
// is that of reading, never that something is wrong.
func (p Project) Check(ctx context.Context, archivePath string) (Report, error) {
	if p.Manifest == "" {
		p.Manifest = manifestName
	}
	c := &checking{Project: p, report: Report{Errors: []Finding{}, Warnings: []Finding{}}}
	manifest, err := c.manifest()
	if err != nil {
		return Report{}, err
	}
	if err := c.settings(); err != nil {
		return Report{}, err
	}
	if manifest == nil {
		return c.report, nil
	}
	c.report.Module = manifest.ID
	c.rules(manifest)
	c.links(manifest)
	c.scripts("build.setup", manifest.Build.Setup)
	c.scripts("build.build", manifest.Build.Build)
	return c.report, c.archive(ctx, manifest, archivePath)
}

func (c *checking) refuse(file string, f module.Fault) {
	c.report.Errors = append(c.report.Errors, Finding{file, f})
}

func (c *checking) warn(file string, f module.Fault) {
	c.report.Warnings = append(c.report.Warnings, Finding{file, f})
}

// refuseAll takes the Faults of an error; other errors come back.
func (c *checking) refuseAll(file string, err error) error {
	var faults module.Faults
	if !errors.As(err, &faults) {
		return err
	}
	for _, f := range faults {
		c.refuse(file, f)
	}
	return nil
}

// manifest reads meta.json; nil when it is wrong.
func (c *checking) manifest() (*module.Manifest, error) {
	text, err := c.Dir.ReadFile(c.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		c.refuse(c.Manifest, module.Fault{Problem: "is missing", Advice: "go to the module's folder, or make one with 'modfarm module generate'"})
		return nil, nil //nolint:nilnil // a manifest that is missing is a finding
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Manifest, err)
	}
	manifest, err := module.ParseManifest(text)
	return manifest, c.refuseAll(c.Manifest, err)
}

func (c *checking) settings() error {
	name := path.Join(path.Dir(c.Manifest), settingsName)
	text, err := c.Dir.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	_, err = module.ParseSettings(text)
	return c.refuseAll(name, err)
}

// rules are what publishing and building ask beyond what meta.json has to be. A module that is only
// uploaded has no build command, which is worth a word and no more.
func (c *checking) rules(m *module.Manifest) {
	var faults module.Faults
	errors.As(m.CheckBuild(), &faults)
	for _, f := range faults {
		if f.Path == "build.build" && m.Build.Setup == "" {
			f.Problem += ", so no farm can build it"
			c.warn(c.Manifest, f)
			continue
		}
		c.refuse(c.Manifest, f)
	}
	for _, f := range m.Hints() {
		if f.Path != "url" {
			c.warn(c.Manifest, f)
		}
	}
	if m.Visibility != module.VisibilityPrivate && m.ID.HasOrganizationUUID() {
		c.refuse(c.Manifest, module.Fault{
			Path: "visibility", Value: string(m.Visibility), Problem: "needs a public namespace, and module_id begins with the id of an organization",
			Advice: "keep the module private, or begin module_id with the organization's namespace",
		})
	}
	switch u, err := url.Parse(m.URL); {
	case m.URL == "":
		if m.Build.Build != "" {
			c.warn(c.Manifest, module.Fault{Path: "url", Problem: "is empty, so builds from the repository need it said", Advice: "write the repository as https://…"})
		}
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil:
		c.refuse(c.Manifest, module.Fault{Path: "url", Value: m.URL, Problem: "not a web address that can be shown", Advice: "write https://…, without user or password"})
	}
}

// links are the documents that meta.json names; without them the registry shows nothing.
func (c *checking) links(m *module.Manifest) {
	check := func(at, link string) {
		file, _, _ := strings.Cut(link, "#")
		if file == "" || strings.Contains(file, "://") {
			return
		}
		if _, err := c.Dir.Stat(file); err != nil {
			c.warn(c.Manifest, module.Fault{Path: at, Value: link, Problem: "is no file of this folder, so nothing of it is shown", Advice: "write the file, or correct the link"})
		}
	}
	check("markdown_link", m.MarkdownLink)
	for i, model := range m.Models {
		check(fmt.Sprintf("models[%d].markdown_link", i), model.MarkdownLink)
	}
}

// archive inspects the archive as the registry does.
func (c *checking) archive(ctx context.Context, m *module.Manifest, name string) error {
	if name == "" {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	defer f.Close()
	report, err := archive.Inspect(ctx, f, archive.Expect{Entrypoint: m.Entrypoint, Platform: c.Platform, FirstRun: m.FirstRun})
	if refused, ok := errors.AsType[*archive.Refused](err); ok {
		return c.refuseAll(name, refused.Faults)
	}
	if err != nil {
		return fmt.Errorf("inspect %s: %w", name, err)
	}
	for _, warning := range report.Warnings {
		c.warn(name, module.Fault{Problem: warning})
	}
	return nil
}
