package module

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The defaults of the "build" key.
const (
	// DefaultBuildPath is where a build leaves its archive.
	DefaultBuildPath = "module.tar.gz"
	// DefaultDistro is the Debian release of the builder images.
	DefaultDistro = "bookworm"
)

// MaxManifestSize is the largest meta.json accepted, in bytes. It is far above the
// 500 KB that the registry keeps per value and bounds the work of a hostile file.
const MaxManifestSize = 1 << 20

// maxModelDescription is the longest description of a model, in characters.
const maxModelDescription = 100

var (
	tripleRule = regexp.MustCompile(`^[a-zA-Z0-9][-\w]*$`)
	distroRule = regexp.MustCompile(`^[a-z][a-z0-9]*([.-][a-z0-9]+)*$`)
)

// DefaultArch lists the platforms of a meta.json that names none.
func DefaultArch() []Platform {
	return []Platform{{"linux", "amd64"}, {"linux", "arm64"}}
}

// ParseManifest reads and checks meta.json. The error is Faults and lists everything
// that is wrong, with the JSON path and the line of each value. Keys are matched as
// encoding/json does, ignoring case; unknown ones are kept in Unknown. An empty
// entrypoint or build command is no fault here: see CheckBuild.
func ParseManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifestSize {
		return nil, Faults{{
			Problem: fmt.Sprintf("meta.json has %d bytes", len(data)),
			Advice:  fmt.Sprintf("keep it under %d and move long texts into a file named by markdown_link", MaxManifestSize),
		}}
	}
	r := &jsonReader{src: data}
	doc, ok := r.document()
	if !ok {
		return nil, r.faults
	}
	if doc.raw[0] != '{' {
		r.wrongType("", doc, "an object", "write it within braces")
		return nil, r.faults
	}
	m := r.manifest(doc)
	if err := r.faults.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

// manifestKeys are the keys of the whole file.
func manifestKeys() []string {
	return []string{
		"$schema", "module_id", "visibility", "url", "description", "models", "applications",
		"markdown_link", "entrypoint", "first_run", "build",
	}
}

func (r *jsonReader) manifest(doc jsonValue) *Manifest {
	fields, unknown := r.object("", doc, manifestKeys()...)
	m := &Manifest{Unknown: unknown}
	m.Schema, _ = r.text("$schema", fields["$schema"])
	m.ID = r.moduleID(fields["module_id"])
	m.Visibility = r.visibility(fields["visibility"])
	m.URL, _ = r.text("url", fields["url"])
	m.Description, _ = r.text("description", fields["description"])
	m.Models = r.models(fields["models"], m.ID)
	m.ModelsPresent = !fields["models"].absent()
	m.Applications = r.applications(fields["applications"])
	m.MarkdownLink, _ = r.text("markdown_link", fields["markdown_link"])
	m.Entrypoint = r.inside("entrypoint", fields["entrypoint"])
	m.FirstRun = r.inside("first_run", fields["first_run"])
	m.Build = r.build(fields["build"])
	return m
}

func (r *jsonReader) moduleID(v jsonValue) ID {
	s, ok := r.text("module_id", v)
	if !ok {
		if v.absent() {
			r.fault("module_id", v, Fault{Problem: "is missing", Advice: "write namespace:name, such as acme:widget"})
		}
		return ID{}
	}
	id, err := ParseID(s)
	if err != nil {
		r.err("module_id", v, err)
	}
	return id
}

func (r *jsonReader) visibility(v jsonValue) Visibility {
	s, ok := r.text("visibility", v)
	if !ok {
		if v.absent() {
			r.fault("visibility", v, Fault{Problem: "is missing", Advice: "write private, public or public_unlisted"})
		}
		return ""
	}
	visibility, err := ParseVisibility(s)
	if err != nil {
		r.err("visibility", v, err)
	}
	return visibility
}

// inside reads the path of a file within the archive.
func (r *jsonReader) inside(at string, v jsonValue) string {
	s, ok := r.text(at, v)
	if !ok || s == "" {
		return ""
	}
	if err := CheckRelative(s, "the archive"); err != nil {
		r.err(at, v, err)
	}
	return s
}

// CheckRelative refuses a slash-separated path that is not the name of something
// inside a folder; of names that folder for the message, as "the archive". The error
// is a Fault without a Path.
func CheckRelative(s, of string) error {
	clean := path.Clean(s)
	problem, advice := "", "write it relative to the root of "+of
	switch {
	case s == "":
		problem = "is empty"
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }):
		problem, advice = "has a control character in it", "remove it"
	case strings.HasPrefix(s, "/"), strings.HasPrefix(s, `\`), len(s) > 1 && s[1] == ':' && isLetter(s[0]):
		problem = "is absolute"
	case strings.HasPrefix(s, "~"):
		problem = "begins with ~, which nothing expands here"
	case clean == "..", strings.HasPrefix(clean, "../"):
		problem = "leads out of " + of
	case clean == ".":
		problem, advice = "is "+of+" itself", "name something inside it"
	default:
		return nil
	}
	return Fault{Value: s, Problem: problem, Advice: advice}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func (r *jsonReader) models(v jsonValue, id ID) []Model {
	var out []Model
	seen := map[[2]string]string{}
	for i, element := range r.list("models", v) {
		at := indexed("models", i)
		if element.absent() {
			r.wrongType(at, element, "an object", "remove it")
			continue
		}
		m := r.model(at, element, id)
		key := [2]string{m.API, m.Model}
		if first, ok := seen[key]; ok && m.Model != "" {
			r.fault(at, element, Fault{Value: m.Model, Problem: "is listed before, at " + first, Advice: "remove one of the two"})
		}
		seen[key] = at
		out = append(out, m)
	}
	return out
}

func (r *jsonReader) model(at string, v jsonValue, id ID) Model {
	fields, unknown := r.object(at, v, "api", "model", "short_description", "description", "markdown_link")
	m := Model{Unknown: unknown}
	if fields == nil {
		return m
	}
	var parts []string
	m.API, parts = r.triple(at+".api", fields["api"], "rdk:component:sensor")
	if parts != nil && parts[1] != "component" && parts[1] != "service" {
		r.fault(at+".api", fields["api"], Fault{
			Value: m.API, Problem: fmt.Sprintf("has the type %q", parts[1]),
			Advice: "write component or service between the colons",
		})
	}
	m.Model, parts = r.triple(at+".model", fields["model"], "acme:weather:indoor")
	if parts != nil {
		r.modelNamespace(at+".model", fields["model"], parts[0], id)
	}
	m.ShortDescription, _ = r.text(at+".short_description", fields["short_description"])
	if n := utf8.RuneCountInString(m.ShortDescription); n > maxModelDescription {
		r.fault(at+".short_description", fields["short_description"], Fault{
			Value: m.ShortDescription, Problem: fmt.Sprintf("has %d characters", n),
			Advice: fmt.Sprintf("use at most %d and move the rest into the file of markdown_link", maxModelDescription),
		})
	}
	m.Description, _ = r.text(at+".description", fields["description"])
	m.MarkdownLink, _ = r.text(at+".markdown_link", fields["markdown_link"])
	return m
}

// triple reads "namespace:family:name"; parts is nil when it is none.
func (r *jsonReader) triple(at string, v jsonValue, example string) (s string, parts []string) {
	s, ok := r.text(at, v)
	if !ok {
		if v.absent() {
			r.fault(at, v, Fault{Problem: "is missing", Advice: "write three parts, such as " + example})
		}
		return "", nil
	}
	parts = strings.Split(s, ":")
	good := len(parts) == 3
	for _, part := range parts {
		good = good && tripleRule.MatchString(part)
	}
	if !good {
		r.fault(at, v, Fault{Value: s, Problem: "is not three names joined by colons", Advice: "write it like " + example})
		return s, nil
	}
	return s, parts
}

// modelNamespace holds a model to the namespace of its module. An organization that
// is named by its UUID may have a namespace that only the registry knows.
func (r *jsonReader) modelNamespace(at string, v jsonValue, namespace string, id ID) {
	switch {
	case namespace == "rdk":
		r.fault(at, v, Fault{Value: namespace, Problem: "is a reserved namespace", Advice: "use your own"})
	case !id.IsZero() && !id.HasOrganizationUUID() && namespace != id.Namespace:
		r.fault(at, v, Fault{
			Value: namespace, Problem: "is not the namespace of module_id",
			Advice: "begin the model with " + id.Namespace + ":",
		})
	}
}

func (r *jsonReader) build(v jsonValue) BuildSpec {
	fields, unknown := r.object("build", v, "build", "setup", "path", "arch", "distro", "darwin_deps")
	b := BuildSpec{Unknown: unknown}
	b.Build, _ = r.text("build.build", fields["build"])
	b.Setup, _ = r.text("build.setup", fields["setup"])
	if b.Path, _ = r.text("build.path", fields["path"]); b.Path == "" {
		b.Path = DefaultBuildPath
	}
	b.Arch = r.arch(fields["arch"])
	if b.Distro, _ = r.text("build.distro", fields["distro"]); b.Distro == "" {
		b.Distro = DefaultDistro
	} else if !distroRule.MatchString(b.Distro) || len(b.Distro) > 64 {
		r.fault("build.distro", fields["distro"], Fault{
			Value: b.Distro, Problem: "is not the name of a Debian release",
			Advice: "write its code name in small letters, such as bookworm",
		})
	}
	b.DarwinDeps = r.texts("build.darwin_deps", fields["darwin_deps"])
	return b
}

// arch reads the platforms to build. A platform listed twice is built once.
func (r *jsonReader) arch(v jsonValue) []Platform {
	elements := r.list("build.arch", v)
	if len(elements) == 0 {
		return DefaultArch()
	}
	out := make([]Platform, 0, len(elements))
	seen := map[Platform]bool{}
	for i, element := range elements {
		at := indexed("build.arch", i)
		s, ok := r.text(at, element)
		if !ok {
			if element.absent() {
				r.wrongType(at, element, "a string", "remove it")
			}
			continue
		}
		p, err := ParsePlatform(s)
		if err != nil {
			r.err(at, element, err)
			continue
		}
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}
