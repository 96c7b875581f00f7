package account

import (
	"fmt"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Principal is an authenticated caller.
type Principal struct {
	// KeyID is the API key that the caller logged in with, KeyName how people call it.
	KeyID, KeyName string
	// Org is the organization that the key acts for.
	Org Org
	// Role bounds what the caller may do.
	Role Role
	// Module is the name of the one module that the key is for; empty for all.
	Module string
	// Workflow is what the key of a workflow run is bound to; nil for every other key.
	Workflow *module.WorkflowRun
	// ExpiresAt is when the key ends; zero is never.
	ExpiresAt time.Time

	// hash ties a token to the key's present secret.
	hash []byte
}

// May reports whether the caller's role includes role.
func (p Principal) May(role Role) bool { return p.Role.Includes(role) }

// Require returns nil when the caller's role includes role, and otherwise an
// error that wraps module.ErrForbidden and names the role that is missing.
func (p Principal) Require(role Role) error {
	if p.May(role) {
		return nil
	}
	return fmt.Errorf("%w: key %s has the role %q and this needs %q: use a key of that role, or ask an owner of %q for one",
		module.ErrForbidden, p.KeyID, p.Role, role, p.Org.Name)
}

// Scoped reports whether the key is for one module only, or for a workflow run.
func (p Principal) Scoped() bool { return p.Module != "" || p.Workflow != nil }

// Only is the id of the one module that the key is for; zero for one that is for
// all of its organization, or for a workflow run.
func (p Principal) Only() module.ID {
	if p.Module == "" {
		return module.ID{}
	}
	return module.ID{Namespace: p.Org.Prefix(), Name: p.Module}
}

// Covers reports whether the key's scope holds a module. A key for an organization
// covers everything: what its role allows elsewhere is the registry's to say.
func (p Principal) Covers(id module.ID) bool {
	ours := id.Namespace == p.Org.ID || (p.Org.Namespace != "" && id.Namespace == p.Org.Namespace)
	if p.Workflow != nil {
		return ours && p.Workflow.Holds(id.Name)
	}
	return !p.Scoped() || (ours && strings.EqualFold(id.Name, p.Module))
}

// RequireModule returns nil when the key's scope holds a module, and otherwise an
// error that wraps module.ErrForbidden. It says the same of modules that exist and
// of those that do not.
func (p Principal) RequireModule(id module.ID) error {
	if p.Covers(id) {
		return nil
	}
	return fmt.Errorf("%w: key %s %s, not for %q: use a key of the organization", module.ErrForbidden, p.KeyID, p.scope(), id)
}

// RequireWhole returns nil for a key of a whole organization, and otherwise an
// error that wraps module.ErrForbidden.
func (p Principal) RequireWhole() error {
	if !p.Scoped() {
		return nil
	}
	return fmt.Errorf("%w: key %s %s: use a key of the organization", module.ErrForbidden, p.KeyID, p.scope())
}

// scope says what a key is for that is not for its whole organization.
func (p Principal) scope() string {
	if p.Workflow != nil {
		return describeWorkflow(p.Workflow, p.Org) + " only"
	}
	return "is for the module " + p.Only().String() + " only"
}
