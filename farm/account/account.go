// Package account owns who may do what on a farm: organizations, their API
// keys and roles, the opaque tokens that stand for a key during a connection,
// and the farm key under which secrets at rest are hashed and sealed. It never
// stores or logs a key's secret, never decides about modules or builds, and
// does no I/O of its own but the reading and first writing of the farm key file;
// rows live behind Store.
package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

// Org is an organization: the owner of modules, builds and keys.
type Org struct {
	// ID is a UUID. It may stand wherever a namespace may ("<id>:widget").
	ID string
	// Name is shown to people and need not be unique.
	Name string
	// Namespace is the public namespace, unique on the farm without regard to
	// case, or empty. Without one an organization has private modules only.
	Namespace string
	// CreatedAt is when the organization was made, in UTC.
	CreatedAt time.Time
}

// Prefix is what the ids of the organization's modules begin with: its
// namespace, or its id while it has none.
func (o Org) Prefix() string {
	if o.Namespace != "" {
		return o.Namespace
	}
	return o.ID
}

// Key is an API key as the farm keeps it: everything but the secret.
type Key struct {
	// ID is a UUID and no secret. A client logs in with it and the secret.
	ID string
	// OrgID is the organization that the key acts for.
	OrgID string
	// Name is shown in lists.
	Name string
	// Role bounds what the key may do.
	Role Role
	// Hash is HMAC-SHA-256 over id and secret, under a sub-key of the farm key.
	Hash []byte
	// CreatedAt is when the key was made, in UTC.
	CreatedAt time.Time
}

// OrgStore keeps organizations. Errors wrap module.ErrNotFound and
// module.ErrConflict (the namespace is taken).
type OrgStore interface {
	CreateOrg(ctx context.Context, org Org) error
	Org(ctx context.Context, id string) (Org, error)
	OrgByNamespace(ctx context.Context, namespace string) (Org, error)
	Orgs(ctx context.Context) ([]Org, error)
}

// KeyStore keeps API keys. Errors wrap module.ErrNotFound.
type KeyStore interface {
	CreateKey(ctx context.Context, key Key) error
	// KeyOrg returns a key and its organization in one read: every request of
	// every client passes through it.
	KeyOrg(ctx context.Context, keyID string) (Key, Org, error)
	Keys(ctx context.Context, orgID string) ([]Key, error)
	DeleteKey(ctx context.Context, orgID, keyID string) error
}

// Founder makes the first organization and its key in one transaction.
type Founder interface {
	// Found stores org, key and the farm key's fingerprint when the database
	// holds no organization, and reports true. Otherwise it changes nothing and
	// returns the oldest organization and the fingerprint stored with it.
	Found(ctx context.Context, org Org, key Key, fingerprint string) (Founding, error)
}

// Founding says what Found found or made.
type Founding struct {
	Org         Org
	Fingerprint string
	Created     bool
}

// Store is everything that Accounts needs of a database.
type Store interface {
	OrgStore
	KeyStore
	Founder
}

// Accounts answers who somebody is. All fields but Now must be set.
type Accounts struct {
	// Store keeps the rows.
	Store Store
	// Secret is the farm key.
	Secret FarmKey
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Principal is an authenticated caller.
type Principal struct {
	// KeyID is the API key that the caller logged in with.
	KeyID string
	// Org is the organization that the key acts for.
	Org Org
	// Role bounds what the caller may do.
	Role Role

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

func (a *Accounts) now() time.Time {
	if a.Now != nil {
		return a.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}

// CreateOrg makes an organization. namespace may be empty. Wrong names come
// back as module.Faults, all at once; a namespace that another organization
// holds, in any case, wraps module.ErrConflict.
func (a *Accounts) CreateOrg(ctx context.Context, name, namespace string) (Org, error) {
	org, err := a.newOrg(name, namespace)
	if err != nil {
		return Org{}, err
	}
	if err := a.Store.CreateOrg(ctx, org); err != nil {
		return Org{}, namespaceTaken(err, namespace)
	}
	return org, nil
}

func namespaceTaken(err error, namespace string) error {
	if errors.Is(err, module.ErrConflict) {
		return fmt.Errorf("%w: the namespace %q belongs to another organization: choose another one", module.ErrConflict, namespace)
	}
	return fmt.Errorf("create organization: %w", err)
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
// itself; a caller sees the organization of its key only.
func (a *Accounts) Orgs(ctx context.Context) ([]Org, error) {
	orgs, err := a.Store.Orgs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list organizations: %w", err)
	}
	return orgs, nil
}
