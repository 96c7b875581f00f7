package registry

import (
	"encoding/json"

	"github.com/modfarm/modfarm/module"
)

// Metadata is what a module says about itself. The module has a current one that
// may change; each version has one of its own that never does.
type Metadata struct {
	// URL is the module's repository or home page; may be empty.
	URL string `json:"url,omitempty"`
	// Description is a short text for people.
	Description string `json:"description,omitempty"`
	// Markdown is the long description in Markdown.
	Markdown string `json:"markdown,omitempty"`
	// Models are what the module serves.
	Models []Model `json:"models,omitempty"`
	// Entrypoint is the program within the archive, relative and slash-separated.
	Entrypoint string `json:"entrypoint,omitempty"`
	// FirstRun is a program within the archive that a machine runs once.
	FirstRun string `json:"first_run,omitempty"`
	// Apps are the web applications that ship with the module.
	Apps []App `json:"apps,omitempty"`

	Traits
}

// Traits are what a module says about itself beyond its meta.json, which has no
// words for it; an update by meta.json leaves them.
type Traits struct {
	// Language is what the module is written in: golang, python or cpp.
	Language string `json:"language,omitempty"`
	// SourceType is where the source lives: external or viam_hosted.
	SourceType string `json:"source_type,omitempty"`
	// MinServerVersion is the oldest viam-server that can run the module.
	MinServerVersion string `json:"min_viam_server_version,omitempty"`
}

// Model is one model that a module serves.
type Model struct {
	// API is a triple such as "rdk:component:sensor".
	API string `json:"api"`
	// Model is a triple such as "acme:weather:indoor".
	Model string `json:"model"`
	// Description is a short text, at most 100 characters.
	Description string `json:"description,omitempty"`
	// Markdown is the model's documentation in Markdown.
	Markdown string `json:"markdown,omitempty"`
	// SupportedHardware lists what the model drives.
	SupportedHardware []string `json:"supported_hardware,omitempty"`
}

// App is one web application that ships with a module.
type App struct {
	Name       string `json:"name"`
	Type       string `json:"type"` // single_machine or multi_machine
	Entrypoint string `json:"entrypoint"`
	LogoPath   string `json:"logo_path,omitempty"`
	// FragmentIDs narrow the machines offered.
	FragmentIDs []string `json:"fragment_ids,omitempty"`
	// AllowedOrgIDs narrow who may open it; nil is everybody.
	AllowedOrgIDs []string `json:"allowed_org_ids,omitempty"`
	// Heading and Subheading customize the chooser of machines.
	Heading    string `json:"heading,omitempty"`
	Subheading string `json:"subheading,omitempty"`
}

// FromManifest is the metadata that a meta.json describes. Documentation that
// the manifest only links to is not in it.
func FromManifest(m *module.Manifest) Metadata {
	meta := Metadata{URL: m.URL, Description: m.Description, Entrypoint: m.Entrypoint, FirstRun: m.FirstRun}
	for _, model := range m.Models {
		meta.Models = append(meta.Models, Model{API: model.API, Model: model.Model, Description: model.ShortDescription})
	}
	for _, app := range m.Applications {
		meta.Apps = append(meta.Apps, App{
			Name: app.Name, Type: app.Type, Entrypoint: app.Entrypoint, LogoPath: app.LogoPath,
			FragmentIDs: app.FragmentIDs, AllowedOrgIDs: app.AllowedOrgIDs,
			Heading: app.MachinePickerHeading, Subheading: app.MachinePickerSubheading,
		})
	}
	return meta
}

// metadataOf reads the metadata out of a release's manifest; ok is false when it
// has none, or one that is no meta.json.
func metadataOf(manifest json.RawMessage) (meta Metadata, ok bool) {
	if len(manifest) == 0 {
		return Metadata{}, false
	}
	parsed, err := module.ParseManifest(manifest)
	if err != nil {
		return Metadata{}, false
	}
	return FromManifest(parsed), true
}
