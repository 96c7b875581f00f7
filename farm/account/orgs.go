package account

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

// NewOrg is an organization that was just made, with its first key. The secret is
// nowhere kept and never shown again.
type NewOrg struct {
	Org    Org
	Key    Key
	Secret string
}

// CreateOrg makes an organization with an owner's key. namespace may be empty.
// Wrong names come back as module.Faults, all at once; a namespace that another
// organization holds, in any case, wraps module.ErrConflict.
func (a *Accounts) CreateOrg(ctx context.Context, name, namespace string) (NewOrg, error) {
	org, err := a.newOrg(name, namespace)
	if err != nil {
		return NewOrg{}, err
	}
	key, secret := a.newKey(org.ID, KeySpec{Name: "first key", Role: RoleOwner})
	if err := a.Store.CreateOrg(ctx, org, key); err != nil {
		return NewOrg{}, namespaceTaken(err, namespace)
	}
	return NewOrg{Org: org, Key: key, Secret: secret}, nil
}

func namespaceTaken(err error, namespace string) error {
	if errors.Is(err, module.ErrConflict) {
		return fmt.Errorf("%w: the namespace %q belongs to another organization: choose another one", module.ErrConflict, namespace)
	}
	return fmt.Errorf("store the organization: %w", err)
}

// CheckOrg says what is wrong with the name and namespace of an organization
// that does not exist yet, all at once, as module.Faults; nil when nothing is.
func CheckOrg(name, namespace string) error {
	_, err := (&Accounts{}).newOrg(name, namespace)
	return err
}

func (a *Accounts) newOrg(name, namespace string) (Org, error) {
	name = strings.TrimSpace(name)
	var faults module.Faults
	faults = append(faults, checkOrgName(name)...)
	faults = append(faults, checkNamespace(namespace)...)
	if len(faults) > 0 {
		return Org{}, faults
	}
	return Org{ID: uuid.NewString(), Name: name, Namespace: namespace, CreatedAt: a.now()}, nil
}

// SetNamespace gives an organization its public namespace, once: module ids on
// machines begin with it, so it never changes. The same namespace again is fine,
// another one wraps module.ErrConflict, as does one that is taken. Modules can
// still be named by the organization's id.
func (a *Accounts) SetNamespace(ctx context.Context, orgID, namespace string) (Org, error) {
	if namespace == "" {
		return Org{}, module.Fault{Path: "namespace", Problem: "empty", Advice: "choose one; it is given once and stays"}
	}
	if err := checkNamespace(namespace).Err(); err != nil {
		return Org{}, err
	}
	org, err := a.Store.SetNamespace(ctx, orgID, namespace)
	if errors.Is(err, module.ErrForbidden) {
		return Org{}, fmt.Errorf("%w: the organization has the namespace %q already, and machines know its modules by it: make another organization for %q",
			module.ErrConflict, org.Namespace, namespace)
	}
	if err != nil {
		return Org{}, namespaceTaken(err, namespace)
	}
	return org, nil
}

// RequireFarmOwner returns nil for an owner of the organization that the farm was
// made with: who runs the farm. Others get an error that wraps module.ErrForbidden.
func (a *Accounts) RequireFarmOwner(ctx context.Context, p Principal) error {
	if err := p.Require(RoleOwner); err != nil {
		return err
	}
	first, err := a.Store.FoundingOrg(ctx)
	if err != nil {
		return fmt.Errorf("look up the first organization: %w", err)
	}
	if p.Org.ID != first {
		return fmt.Errorf("%w: only owners of the farm's first organization may do this: ask who runs the farm", module.ErrForbidden)
	}
	return nil
}

// Org returns the organization with this id, or an error that wraps
// module.ErrNotFound.
func (a *Accounts) Org(ctx context.Context, id string) (Org, error) {
	if uuid.Validate(id) != nil {
		return Org{}, fmt.Errorf("organization %q: %w", id, module.ErrNotFound)
	}
	org, err := a.Store.Org(ctx, id)
	if err != nil {
		return Org{}, fmt.Errorf("organization %q: %w", id, err)
	}
	return org, nil
}

// OrgByPrefix returns the organization that a module id's prefix names: its
// public namespace or its id. Unknown ones wrap module.ErrNotFound.
func (a *Accounts) OrgByPrefix(ctx context.Context, prefix string) (Org, error) {
	if uuid.Validate(prefix) == nil {
		return a.Org(ctx, prefix)
	}
	if prefix == "" || len(checkNamespace(prefix)) > 0 {
		return Org{}, fmt.Errorf("namespace %q: %w", prefix, module.ErrNotFound)
	}
	org, err := a.Store.OrgByNamespace(ctx, prefix)
	if err != nil {
		return Org{}, fmt.Errorf("namespace %q: %w", prefix, err)
	}
	return org, nil
}

// Orgs lists every organization of the farm, oldest first. It is for the farm
// itself and who runs it; others see the organization of their key only.
func (a *Accounts) Orgs(ctx context.Context) ([]Org, error) {
	orgs, err := a.Store.Orgs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list organizations: %w", err)
	}
	return orgs, nil
}
