// Package account owns who may do what on a farm: organizations, their API
// keys and roles, the opaque tokens that stand for a key during a connection,
// and the farm key under which secrets at rest are hashed and sealed. It never
// stores or logs a key's secret, never decides about modules or builds, and
// does no I/O of its own but the reading and first writing of the farm key file;
// rows live behind Store.
package account

import (
	"context"
	"log/slog"
	"time"

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
	// Module is the name of the one module that the key is for; empty for all of
	// its organization.
	Module string
	// Hash is HMAC-SHA-256 over id and secret, under a sub-key of the farm key.
	Hash []byte
	// OldHash is that of the secret before the last rotation, good until OldUntil.
	OldHash  []byte
	OldUntil time.Time
	// CreatedAt is when the key was made, in UTC.
	CreatedAt time.Time
	// ExpiresAt is when the key ends; zero is never.
	ExpiresAt time.Time
	// RotatedAt is when the secret was last replaced; zero is never.
	RotatedAt time.Time
	// UsedAt is when the key was last used, to about a minute; zero is never.
	UsedAt time.Time
	// Workflow is what the key of a workflow run is bound to; nil for every other key.
	Workflow *module.WorkflowRun
}

// OrgStore keeps organizations. Errors wrap module.ErrNotFound and
// module.ErrConflict (the namespace is taken).
type OrgStore interface {
	// CreateOrg stores an organization with its first key.
	CreateOrg(ctx context.Context, org Org, first Key) error
	Org(ctx context.Context, id string) (Org, error)
	OrgByNamespace(ctx context.Context, namespace string) (Org, error)
	Orgs(ctx context.Context) ([]Org, error)
	// SetNamespace gives an organization that has none its namespace, and returns
	// it. One that has another already is module.ErrForbidden.
	SetNamespace(ctx context.Context, orgID, namespace string) (Org, error)
}

// KeyStore keeps API keys. Errors wrap module.ErrNotFound.
type KeyStore interface {
	CreateKey(ctx context.Context, key Key) error
	// KeyOrg returns a key and its organization in one read: every request of
	// every client passes through it.
	KeyOrg(ctx context.Context, keyID string) (Key, Org, error)
	Keys(ctx context.Context, orgID string) ([]Key, error)
	// RotateKey puts key.Hash, key.RotatedAt and key.OldUntil in place; the hash
	// that was there becomes the old one.
	RotateKey(ctx context.Context, key Key) error
	// DeleteKey removes a key. The last owner's key that is good at a time is
	// module.ErrConflict: nobody could make another one.
	DeleteKey(ctx context.Context, orgID, keyID string, now time.Time) error
	// UseKeys notes when keys were last used. Keys that are gone are left out.
	UseKeys(ctx context.Context, used map[string]time.Time) error
}

// Founder makes the first organization and its key in one transaction.
type Founder interface {
	// Found stores org, key and the farm key's fingerprint when the database
	// holds no organization, and reports true. Otherwise it changes nothing and
	// returns the oldest organization and the fingerprint stored with it.
	Found(ctx context.Context, org Org, key Key, fingerprint string) (Founding, error)
	// FoundingOrg is the id of the organization that the farm was made with.
	FoundingOrg(ctx context.Context) (string, error)
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
	WorkflowStore
	Founder
}

// Accounts answers who somebody is. All fields but Now must be set.
type Accounts struct {
	// Store keeps the rows.
	Store Store
	// Secret is the farm key.
	Secret FarmKey
	// Log receives what no caller can be told; nil discards it.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	used  uses
	wrong patience
}

func (a *Accounts) now() time.Time {
	if a.Now != nil {
		return a.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}
