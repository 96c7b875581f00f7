package account

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

const (
	maxNamespace = 64  // characters
	maxOrgName   = 200 // characters
	maxKeyName   = 200 // characters
)

// reserved holds namespaces that would pass for somebody else's: the wire
// protocol's own resources live in "rdk", and the names of the two products
// must not speak for a stranger.
func reserved() []string {
	return []string{"rdk", "rdk-internal", "viam", "viam-server", "modfarm", "builtin"}
}

// checkNamespace returns what is wrong with a public namespace; empty is fine.
func checkNamespace(ns string) module.Faults {
	fault := func(problem, advice string) module.Faults {
		return module.Faults{{Path: "namespace", Value: ns, Problem: problem, Advice: advice}}
	}
	switch {
	case ns == "":
		return nil
	case len(ns) > maxNamespace:
		return fault("longer than 64 characters", "choose a shorter one")
	case !regexp.MustCompile(`^[a-zA-Z0-9][-\w]*$`).MatchString(ns):
		return fault("not a namespace", "begin with a letter or digit and go on with letters, digits, - and _")
	case uuid.Validate(ns) == nil:
		// A module id is found by namespace or by organization id; a namespace
		// that reads as an id could capture another organization's.
		return fault("reads as an organization id", "choose a name that is no UUID")
	case slices.Contains(reserved(), strings.ToLower(ns)):
		return fault("reserved", "choose another one")
	}
	return nil
}

func checkOrgName(name string) module.Faults {
	return checkLabel("name", name, maxOrgName)
}

func checkLabel(path, s string, limit int) module.Faults {
	fault := func(problem, advice string) module.Faults {
		return module.Faults{{Path: path, Value: s, Problem: problem, Advice: advice}}
	}
	switch {
	case s == "":
		return fault("empty", "give it a name")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fault("has control characters or is not UTF-8", "use printable text")
	case utf8.RuneCountInString(s) > limit:
		return fault("longer than 200 characters", "choose a shorter one")
	}
	return nil
}
