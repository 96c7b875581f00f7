package module

import "encoding/json"

// Manifest is a checked meta.json. Make one with ParseManifest.
type Manifest struct {
	// Schema is the "$schema" key.
	Schema string
	// ID is the "module_id" key.
	ID ID
	// Visibility is who may see the module.
	Visibility Visibility
	// URL is the repository.
	URL string
	// Description is for people.
	Description string
	// Models are what the module serves.
	Models []Model
	// ModelsPresent tells "models": [] (publish none) from an absent key (a farm may
	// ask the built module itself).
	ModelsPresent bool
	// Applications are web applications that ship with the module; nil is fine.
	Applications []Application
	// MarkdownLink is the file with the module's documentation.
	MarkdownLink string
	// Entrypoint is the program within the archive, relative and slash-separated;
	// may be empty in a manifest that is not built yet.
	Entrypoint string
	// FirstRun is a program within the archive that runs once before the module.
	FirstRun string
	// Build says how to build it; defaults are filled in.
	Build BuildSpec
	// Unknown holds the keys that this version does not know, as they stood.
	Unknown map[string]json.RawMessage
}

// Model is one element of "models".
type Model struct {
	// API is the triple of the API, as "rdk:component:sensor".
	API string
	// Model is the triple of the model, as "acme:weather:indoor".
	Model string
	// ShortDescription is what the stock command line publishes; 100 characters.
	ShortDescription string
	// Description is in the public schema but ignored by the stock command line.
	Description string
	// MarkdownLink is a file with an optional "#anchor".
	MarkdownLink string
	// Unknown holds the keys that this version does not know.
	Unknown map[string]json.RawMessage
}

// Application is one element of "applications".
type Application struct {
	// Name is the application's name in URLs.
	Name string
	// Type is single_machine or multi_machine.
	Type string
	// Entrypoint is the HTML file within the archive.
	Entrypoint string
	// FragmentIDs narrow the machines offered.
	FragmentIDs []string
	// AllowedOrgIDs narrow who may open it.
	AllowedOrgIDs []string
	// LogoPath is an image within the archive.
	LogoPath string
	// MachinePickerHeading and MachinePickerSubheading customize the chooser.
	MachinePickerHeading, MachinePickerSubheading string
	// Unknown holds the keys that this version does not know; UnknownCustomizations
	// and UnknownMachinePicker those of the objects inside.
	Unknown, UnknownCustomizations, UnknownMachinePicker map[string]json.RawMessage
}

// BuildSpec is the "build" key.
type BuildSpec struct {
	// Setup and Build are command lines for bash -c; Setup may be empty.
	Setup, Build string
	// Path is the archive or folder that Build leaves; module.tar.gz by default.
	Path string
	// Arch lists the platforms to build; linux/amd64 and linux/arm64 by default.
	Arch []Platform
	// Distro is the Debian release of the builder image; bookworm by default.
	Distro string
	// DarwinDeps are Homebrew packages: nil for the farm's default list, empty for none.
	DarwinDeps []string
	// Unknown holds the keys that this version does not know.
	Unknown map[string]json.RawMessage
}
