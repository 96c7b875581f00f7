package module

import (
	"fmt"
	"regexp"
	"strings"
)

// ID names a module: a namespace (the public namespace of an organization or its
// UUID) and a name. Its text is "acme:widget". IDs compare with ==.
type ID struct {
	// Namespace is the public namespace or the organization's UUID.
	Namespace string
	// Name is the module's name within the namespace.
	Name string
}

// maxName is the longest namespace or module name, in characters.
const maxName = 200

var (
	nameRule = regexp.MustCompile(`^[a-zA-Z0-9][-\w]*$`)
	uuidRule = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// ParseID reads "namespace:name". The error is a Fault without a Path.
func ParseID(s string) (ID, error) { return parseID(s, ":", "acme:widget") }

// ParsePackageID reads "namespace/name", the spelling of packages in machine
// configurations. The error is a Fault without a Path.
func ParsePackageID(s string) (ID, error) { return parseID(s, "/", "acme/widget") }

func parseID(s, sep, example string) (ID, error) {
	parts := strings.Split(s, sep)
	if len(parts) != 2 {
		return ID{}, Fault{
			Value: s, Problem: "not a module id",
			Advice: fmt.Sprintf("write namespace%sname, such as %s", sep, example),
		}
	}
	if err := checkName("namespace", parts[0]); err != nil {
		return ID{}, err
	}
	if err := checkName("module name", parts[1]); err != nil {
		return ID{}, err
	}
	return ID{Namespace: parts[0], Name: parts[1]}, nil
}

func checkName(what, s string) error {
	switch {
	case s == "":
		return Fault{Problem: "the " + what + " is empty", Advice: "write namespace:name, such as acme:widget"}
	case len(s) > maxName:
		return Fault{
			Value: s, Problem: fmt.Sprintf("the %s has %d characters", what, len(s)),
			Advice: fmt.Sprintf("use at most %d", maxName),
		}
	case !nameRule.MatchString(s):
		return Fault{
			Value: s, Problem: "not a " + what,
			Advice: "use letters, digits, - and _, and begin with a letter or digit",
		}
	}
	return nil
}

// String is "namespace:name"; empty for the zero ID.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return id.Namespace + ":" + id.Name
}

// PackageID is "namespace/name", as GetPackage and packages[] of a machine spell it.
func (id ID) PackageID() string {
	if id.IsZero() {
		return ""
	}
	return id.Namespace + "/" + id.Name
}

// IsZero reports whether the ID names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// HasOrganizationUUID reports whether the namespace is an organization's UUID
// instead of a public namespace.
func (id ID) HasOrganizationUUID() bool { return uuidRule.MatchString(id.Namespace) }

// MarshalText prints the ID; the zero ID becomes the empty text.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero ID.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
