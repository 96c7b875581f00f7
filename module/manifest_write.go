package module

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// MarshalJSON prints the manifest as meta.json: the known keys in the order of the
// documentation, then the unknown ones sorted. A "build" that says no more than the
// defaults is left out. What ParseManifest read is what it reads again.
func (m Manifest) MarshalJSON() ([]byte, error) {
	w := &objectWriter{}
	w.text("$schema", m.Schema)
	w.always("module_id", m.ID)
	w.always("visibility", m.Visibility)
	w.always("url", m.URL)
	w.always("description", m.Description)
	if m.ModelsPresent || len(m.Models) > 0 {
		w.always("models", append([]Model{}, m.Models...))
	}
	w.always("applications", m.Applications)
	w.text("markdown_link", m.MarkdownLink)
	w.always("entrypoint", m.Entrypoint)
	w.always("first_run", m.FirstRun)
	if !m.Build.isDefault() {
		w.always("build", m.Build)
	}
	return w.finish(m.Unknown)
}

// UnmarshalJSON reads and checks like ParseManifest.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	parsed, err := ParseManifest(data)
	if err != nil {
		return err
	}
	*m = *parsed
	return nil
}

// MarshalJSON prints the element as it stands in meta.json.
func (m Model) MarshalJSON() ([]byte, error) {
	w := &objectWriter{}
	w.always("api", m.API)
	w.always("model", m.Model)
	w.text("short_description", m.ShortDescription)
	w.text("description", m.Description)
	w.text("markdown_link", m.MarkdownLink)
	return w.finish(m.Unknown)
}

// MarshalJSON prints the element as it stands in meta.json.
func (a Application) MarshalJSON() ([]byte, error) {
	w := &objectWriter{}
	w.always("name", a.Name)
	w.always("type", a.Type)
	w.always("entrypoint", a.Entrypoint)
	w.list("fragmentIds", a.FragmentIDs)
	w.list("allowedOrgIds", a.AllowedOrgIDs)
	w.text("logoPath", a.LogoPath)
	picker := &objectWriter{}
	picker.text("heading", a.MachinePickerHeading)
	picker.text("subheading", a.MachinePickerSubheading)
	custom := &objectWriter{}
	if picker.some || len(a.UnknownMachinePicker) > 0 {
		raw, err := picker.finish(a.UnknownMachinePicker)
		if err != nil {
			return nil, err
		}
		custom.always("machinePicker", json.RawMessage(raw))
	}
	if custom.some || len(a.UnknownCustomizations) > 0 {
		raw, err := custom.finish(a.UnknownCustomizations)
		if err != nil {
			return nil, err
		}
		w.always("customizations", json.RawMessage(raw))
	}
	return w.finish(a.Unknown)
}

// MarshalJSON prints the "build" key of meta.json.
func (b BuildSpec) MarshalJSON() ([]byte, error) {
	w := &objectWriter{}
	w.text("setup", b.Setup)
	w.text("build", b.Build)
	w.text("path", b.Path)
	if len(b.Arch) > 0 {
		w.always("arch", b.Arch)
	}
	w.text("distro", b.Distro)
	w.list("darwin_deps", b.DarwinDeps)
	return w.finish(b.Unknown)
}

// isDefault reports whether an absent "build" reads the same.
func (b BuildSpec) isDefault() bool {
	return b.Setup == "" && b.Build == "" && b.DarwinDeps == nil && len(b.Unknown) == 0 &&
		(b.Path == "" || b.Path == DefaultBuildPath) &&
		(b.Distro == "" || b.Distro == DefaultDistro) &&
		(len(b.Arch) == 0 || slices.Equal(b.Arch, DefaultArch()))
}

// objectWriter prints an object key by key, in the order it is told.
type objectWriter struct {
	buf   bytes.Buffer
	some  bool
	first error
}

// always writes a member whatever its value.
func (w *objectWriter) always(key string, value any) {
	raw, err := json.Marshal(value)
	if err != nil && w.first == nil {
		w.first = fmt.Errorf("write %s: %w", key, err)
	}
	if w.some {
		w.buf.WriteByte(',')
	}
	w.some = true
	name, err := json.Marshal(key)
	if err != nil && w.first == nil {
		w.first = err
	}
	w.buf.Write(name)
	w.buf.WriteByte(':')
	w.buf.Write(raw)
}

// text writes a string unless it is empty.
func (w *objectWriter) text(key, value string) {
	if value != "" {
		w.always(key, value)
	}
}

// list writes a list unless it is absent; an empty one means something.
func (w *objectWriter) list(key string, value []string) {
	if value != nil {
		w.always(key, value)
	}
}

// finish writes the unknown members and returns the object.
func (w *objectWriter) finish(unknown map[string]json.RawMessage) ([]byte, error) {
	for _, key := range slices.Sorted(maps.Keys(unknown)) {
		w.always(key, unknown[key])
	}
	if w.first != nil {
		return nil, w.first
	}
	return slices.Concat([]byte{'{'}, w.buf.Bytes(), []byte{'}'}), nil
}
