package registry

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/modfarm/modfarm/module"
)

// Limits of the wire's documentation.
const (
	maxModuleName       = 200     // characters
	maxModelDescription = 100     // characters
	maxText             = 500_000 // bytes, for each text of the metadata
	maxURL              = 2048    // bytes
	maxPath             = 4096    // bytes
	maxModels           = 1000
)

func checkModuleName(name string) module.Faults {
	fault := func(problem, advice string) module.Faults {
		return module.Faults{{Path: "name", Value: name, Problem: problem, Advice: advice}}
	}
	switch {
	case name == "":
		return fault("empty", "give the module a name")
	case utf8.RuneCountInString(name) > maxModuleName:
		return fault("longer than 200 characters", "choose a shorter name")
	case !regexp.MustCompile(`^[a-zA-Z0-9][-\w]*$`).MatchString(name):
		return fault("not a module name", "begin with a letter or digit and go on with letters, digits, - and _")
	}
	return nil
}

// checkModule returns everything wrong with a module's visibility and metadata.
func checkModule(m Module) module.Faults {
	var faults module.Faults
	faults = append(faults, checkVisibility(m)...)
	faults = append(faults, checkURL(m.Metadata.URL)...)
	faults = append(faults, checkText("description", m.Metadata.Description)...)
	faults = append(faults, checkText("markdown_description", m.Metadata.Markdown)...)
	faults = append(faults, checkText("min_viam_server_version", m.Metadata.MinServerVersion)...)
	faults = append(faults, checkMemberPath("entrypoint", m.Metadata.Entrypoint)...)
	faults = append(faults, checkMemberPath("first_run", m.Metadata.FirstRun)...)
	faults = append(faults, checkModels(m.Metadata.Models, m.Namespace)...)
	faults = append(faults, checkApps(m.Metadata.Apps)...)
	return faults
}

func checkVisibility(m Module) module.Faults {
	v := m.Visibility
	if _, err := module.ParseVisibility(string(v)); err != nil {
		return module.Faults{{
			Path: "visibility", Value: string(v), Problem: "not a visibility",
			Advice: "use private, public or public_unlisted",
		}}
	}
	if v != module.VisibilityPrivate && m.Namespace == "" {
		return module.Faults{{
			Path: "visibility", Value: string(v), Problem: "the organization has no public namespace",
			Advice: "keep the module private, or have an owner give the organization a namespace",
		}}
	}
	return nil
}

func checkURL(s string) module.Faults {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err == nil && len(s) <= maxURL && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil {
		return nil
	}
	return module.Faults{{
		Path: "url", Value: s, Problem: "not a web address that can be shown",
		Advice: "write https://…, without user or password, in at most 2048 bytes",
	}}
}

func checkText(path, s string) module.Faults {
	switch {
	case len(s) > maxText:
		return module.Faults{{Path: path, Problem: fmt.Sprintf("%d bytes long", len(s)), Advice: "use at most 500000 bytes"}}
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return module.Faults{{Path: path, Problem: "not UTF-8 text", Advice: "save it as UTF-8"}}
	}
	return nil
}

// checkMemberPath checks a path within the archive; none is fine, because a
// module is described before it is built.
func checkMemberPath(where, s string) module.Faults {
	if s == "" {
		return nil
	}
	clean := path.Clean(strings.ReplaceAll(s, `\`, "/"))
	ok := len(s) <= maxPath && utf8.ValidString(s) && !strings.ContainsRune(s, 0) &&
		clean != "." && clean != ".." && !strings.HasPrefix(clean, "../") && !path.IsAbs(clean)
	if ok {
		return nil
	}
	return module.Faults{{
		Path: where, Value: s, Problem: "not a file within the archive",
		Advice: "write a relative path that does not climb out, such as bin/run.sh",
	}}
}

func checkModels(models []Model, namespace string) module.Faults {
	if len(models) > maxModels {
		return module.Faults{{Path: "models", Problem: fmt.Sprintf("%d models", len(models)), Advice: "use at most 1000"}}
	}
	var faults module.Faults
	seen := map[[2]string]bool{}
	for i, m := range models {
		at := fmt.Sprintf("models[%d]", i)
		faults = append(faults, checkTriple(at+".api", m.API, "rdk:component:sensor")...)
		faults = append(faults, checkModelName(at+".model", m.Model, namespace)...)
		faults = append(faults, checkText(at+".markdown_documentation", m.Markdown)...)
		if n := utf8.RuneCountInString(m.Description); n > maxModelDescription {
			faults = append(faults, module.Fault{
				Path: at + ".description", Value: m.Description,
				Problem: fmt.Sprintf("%d characters long", n), Advice: "use at most 100",
			})
		}
		if pair := [2]string{m.API, m.Model}; seen[pair] {
			faults = append(faults, module.Fault{Path: at, Value: m.Model, Problem: "listed twice for the same api", Advice: "remove one"})
		} else {
			seen[pair] = true
		}
	}
	return faults
}

func checkTriple(where, s, example string) module.Faults {
	if regexp.MustCompile(`^[\w-]+:[\w-]+:[\w-]+$`).MatchString(s) && len(s) <= maxPath {
		return nil
	}
	return module.Faults{{Path: where, Value: s, Problem: "not a triple", Advice: "write three names with colons, such as " + example}}
}

func checkModelName(where, s, namespace string) module.Faults {
	if faults := checkTriple(where, s, "acme:weather:indoor"); len(faults) > 0 {
		return faults
	}
	first, _, _ := strings.Cut(s, ":")
	switch {
	case first == "rdk":
		return module.Faults{{Path: where, Value: s, Problem: "the namespace rdk is reserved", Advice: "begin with your own namespace"}}
	case namespace != "" && first != namespace:
		return module.Faults{{
			Path: where, Value: s, Problem: fmt.Sprintf("not in your namespace %q", namespace),
			Advice: fmt.Sprintf("write %s%s", namespace, strings.TrimPrefix(s, first)),
		}}
	}
	return nil
}

func checkApps(apps []App) module.Faults {
	var faults module.Faults
	var names []string
	for i, a := range apps {
		at := fmt.Sprintf("apps[%d]", i)
		if name := checkModuleName(a.Name); len(name) > 0 {
			name[0].Path = at + ".name"
			faults = append(faults, name...)
		}
		if slices.Contains(names, a.Name) {
			faults = append(faults, module.Fault{Path: at + ".name", Value: a.Name, Problem: "used twice", Advice: "give each application a name of its own"})
		}
		names = append(names, a.Name)
		if a.Type != "single_machine" && a.Type != "multi_machine" {
			faults = append(faults, module.Fault{Path: at + ".type", Value: a.Type, Problem: "not a type of application", Advice: "use single_machine or multi_machine"})
		}
		if a.Entrypoint == "" {
			faults = append(faults, module.Fault{Path: at + ".entrypoint", Problem: "empty", Advice: "name the page within the archive"})
		}
		faults = append(faults, checkMemberPath(at+".entrypoint", a.Entrypoint)...)
	}
	return faults
}
