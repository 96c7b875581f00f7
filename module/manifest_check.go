package module

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
)

// CheckBuild returns the Faults that only matter to a build by the farm, or nil.
func (m *Manifest) CheckBuild() error {
	var faults Faults
	at := func(path string, err error) {
		if f, ok := err.(Fault); ok { //nolint:errorlint // CheckRelative returns Faults unwrapped
			f.Path = path
			faults.add(f)
		}
	}
	if m.Entrypoint == "" {
		faults.add(Fault{Path: "entrypoint", Problem: "is empty", Advice: "name the program that starts the module, such as dist/main"})
	}
	if m.Build.Build == "" {
		faults.add(Fault{Path: "build.build", Problem: "is empty", Advice: "write the command that makes the archive, such as ./build.sh"})
	}
	if m.Build.Path != "." { // a folder is packed, and the workdir itself is one
		at("build.path", CheckRelative(m.Build.Path, "the repository's workdir"))
	}
	for i, p := range m.Build.Arch {
		if p.IsWildcard() {
			faults.add(Fault{
				Path: indexed("build.arch", i), Value: p.String(), Problem: "is a wildcard; a build has one platform",
				Advice: "list the platforms, or upload the archive yourself as " + p.String(),
			})
		}
	}
	return faults.Err()
}

// Hints lists what is allowed but probably not what the author means. They never
// refuse anything.
func (m *Manifest) Hints() Faults {
	var hints Faults
	if m.Description == "" {
		hints.add(Fault{Path: "description", Problem: "is empty", Advice: "say in a sentence what the module does"})
	}
	if u, err := url.Parse(m.URL); m.URL != "" && (err != nil || u.Scheme == "" || u.Host == "") {
		hints.add(Fault{Path: "url", Value: m.URL, Problem: "is not a web address", Advice: "write https://…"})
	}
	if m.ModelsPresent && len(m.Models) == 0 {
		hints.add(Fault{Path: "models", Problem: "is empty, so no models are published", Advice: "list them, or remove the key"})
	}
	for i, model := range m.Models {
		if model.Description != "" && model.ShortDescription == "" {
			hints.add(Fault{
				Path: indexed("models", i) + ".description", Value: model.Description,
				Problem: "is ignored by the stock command line", Advice: "name it short_description",
			})
		}
		hints = append(hints, slipHints(indexed("models", i)+".", model.Unknown, "api", "model", "short_description", "markdown_link")...)
	}
	hints = append(hints, slipHints("build.", m.Build.Unknown, "build", "setup", "path", "arch", "distro", "darwin_deps")...)
	return append(hints, slipHints("", m.Unknown, manifestKeys()...)...)
}

// slipHints points at unknown keys that are nearly known ones.
func slipHints[V any](prefix string, unknown map[string]V, known ...string) Faults {
	var hints Faults
	for _, key := range slices.Sorted(maps.Keys(unknown)) {
		if near := nearest(key, known); near != "" {
			hints.add(Fault{Path: prefix + key, Problem: "is not a known key", Advice: fmt.Sprintf("did you mean %s?", near)})
		}
	}
	return hints
}
