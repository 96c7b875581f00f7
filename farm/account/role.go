package account

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Role bounds what an API key may do. Each role includes those after it:
// owner, publisher, reader, machine.
type Role string

const (
	// RoleOwner may do everything in its organization, keys included.
	RoleOwner Role = "owner"
	// RolePublisher may create and change modules, start builds and upload.
	RolePublisher Role = "publisher"
	// RoleReader may see modules, builds and logs.
	RoleReader Role = "reader"
	// RoleMachine may look up and download packages: a device in the field.
	RoleMachine Role = "machine"
)

// Roles lists all roles, the mightiest first.
func Roles() []Role { return []Role{RoleOwner, RolePublisher, RoleReader, RoleMachine} }

// ParseRole reads a role's name. Anything else wraps module.ErrInvalid.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fmt.Errorf("%w: role %q: use one of %s", module.ErrInvalid, s, roleNames())
}

// Includes reports whether r may do whatever other may. A role that is unknown
// includes nothing and is included by nothing.
func (r Role) Includes(other Role) bool {
	mine, theirs := slices.Index(Roles(), r), slices.Index(Roles(), other)
	return mine >= 0 && theirs >= 0 && mine <= theirs
}

func roleNames() string {
	names := make([]string, 0, len(Roles()))
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}
