// Package scaffold owns what a new module starts from: small, complete projects in Go and Python that build, run,
// serve the module protocol and are tested, as files under templates. It never talks to a farm, never asks anybody,
// and never overwrites a file.
package scaffold

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Language is what a project is written in.
type Language string

// The languages that there are templates for.
const (
	Go     Language = "go"
	Python Language = "python"
)

// Languages lists them.
func Languages() []Language { return []Language{Go, Python} }

// DefaultSchema is the $schema of projects whose farm is not known: where editors find the meaning of meta.json's keys.
// It is the $id of module.ManifestSchema.
const DefaultSchema = "https://raw.githubusercontent.com/modfarm/modfarm/main/module/schemas/module.schema.json"

// Project says what to generate.
type Project struct {
	// ID is the module; its name also names folder, program and package.
	ID module.ID
	// Language is Go or Python.
	Language Language
	// ModelName is the last part of the model's triple, such as "climate".
	ModelName string
	// Visibility is what meta.json asks for; empty for private.
	Visibility module.Visibility
	// URL is the repository; may be empty.
	URL string
	// Description is one line for people, without a full stop; empty for a sentence with the module's name.
	Description string
	// Schema is the address of the JSON Schema of meta.json; empty for DefaultSchema.
	Schema string
}

// modelRule is the rule of model triples for their last part.
var modelRule = regexp.MustCompile(`^[a-zA-Z0-9][-\w]*$`)

// Check names everything that is wrong with p as module.Faults; nil when nothing is.
func (p Project) Check() error {
	var faults module.Faults
	if p.ID == (module.ID{}) {
		faults = append(faults, module.Fault{Path: "name", Problem: "the module has no name", Advice: "write namespace:name, such as acme:widget"})
	}
	if !slices.Contains(Languages(), p.Language) {
		faults = append(faults, module.Fault{
			Path: "language", Value: string(p.Language), Problem: "there is no template for this language", Advice: "use go or python",
		})
	}
	if !modelRule.MatchString(p.ModelName) {
		faults = append(faults, module.Fault{
			Path: "model-name", Value: p.ModelName, Problem: "not the name of a model", Advice: "use letters, digits, - and _, beginning with a letter or digit, such as climate",
		})
	}
	if p.Visibility != "" {
		if _, err := module.ParseVisibility(string(p.Visibility)); err != nil {
			faults = append(faults, module.Fault{
				Path: "visibility", Value: string(p.Visibility), Problem: "not a visibility", Advice: "use private, public or public_unlisted",
			})
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// Model is the triple of the model that the project serves.
func (p Project) Model() string {
	return p.ID.Namespace + ":" + p.ID.Name + ":" + p.ModelName
}

// GoModule is the path of the Go module: where the repository is, or a name under example.com that anybody may use.
func (p Project) GoModule() string {
	if path := strings.TrimSuffix(strings.TrimPrefix(p.URL, "https://"), ".git"); goModuleRule.MatchString(path) {
		return path
	}
	return "example.com/" + strings.ToLower(p.ID.Name)
}

var goModuleRule = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9][-.\w]*)+$`)

// Package is the name of the Python package: the module's name as an identifier that hides no other package.
func (p Project) Package() string {
	name := strings.ToLower(strings.ReplaceAll(p.ID.Name, "-", "_"))
	if name[0] >= '0' && name[0] <= '9' {
		name = "m" + name
	}
	if slices.Contains(takenPackages(), name) {
		name += "_module"
	}
	return name
}

// takenPackages are keywords of Python, and names that the project or what it imports needs for something else.
func takenPackages() []string {
	return []string{
		"and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except", "finally",
		"for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try",
		"while", "with", "yield", "match", "case",
		"generated", "google", "grpc", "reflection", "site", "tests", "tools", "viam", "dist",
		"argparse", "code", "concurrent", "dataclasses", "json", "logging", "math", "module", "os", "signal", "socket", "stat",
		"string", "struct", "sys", "test", "threading", "time", "typing", "types", "unittest",
	}
}

// data is what templates see.
type data struct {
	Project
	Name, Entrypoint, ModelLink string
}

func (p Project) data() data {
	if p.Visibility == "" {
		p.Visibility = module.VisibilityPrivate
	}
	if p.Schema == "" {
		p.Schema = DefaultSchema
	}
	if p.Description == "" {
		p.Description = fmt.Sprintf("The %s sensor", p.ID.Name)
	}
	d := data{Project: p, Name: p.ID.Name, Entrypoint: "run.sh"}
	if p.Language == Go {
		d.Entrypoint = "bin/" + p.ID.Name
	}
	d.ModelLink = "README.md#" + anchor("Model "+p.Model())
	return d
}

var notInAnchor = regexp.MustCompile(`[^\w\- ]`)

// anchor is how links name a heading: lower case, without punctuation, with hyphens for spaces.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
