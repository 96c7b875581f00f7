package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

const (
	// secretPrefix lets log maskers and secret scanners know a key when they see one.
	secretPrefix = "mfk_"
	secretBytes  = 32
	// maxSecret bounds what a stranger can make the farm hash, in bytes.
	maxSecret = 512
)

// Bootstrap makes the organization of a farm's first start, with one owner key.
// On every later start it changes nothing: created is false, keySecret and keyID
// are empty and the oldest organization is returned. It also holds the farm key
// against the one that the database was made with; another one wraps
// module.ErrInvalid, because no stored key or secret could be read with it.
func (a *Accounts) Bootstrap(ctx context.Context, orgName, namespace string) (org Org, keyID, keySecret string, created bool, err error) {
	org, err = a.newOrg(orgName, namespace)
	if err != nil {
		return Org{}, "", "", false, err
	}
	key, secret := a.newKey(org.ID, KeySpec{Name: "first key", Role: RoleOwner})
	founding, err := a.Store.Found(ctx, org, key, a.Secret.Fingerprint())
	if err != nil {
		return Org{}, "", "", false, fmt.Errorf("make the first organization: %w", err)
	}
	if founding.Created {
		return founding.Org, key.ID, secret, true, nil
	}
	if founding.Fingerprint != "" && founding.Fingerprint != a.Secret.Fingerprint() {
		return Org{}, "", "", false, fmt.Errorf(
			"%w: this database was made with the farm key %s and the present one is %s: put the first farm key back (it is a file beside the data, or MODFARM_FARM_KEY)",
			module.ErrInvalid, founding.Fingerprint, a.Secret.Fingerprint())
	}
	return founding.Org, "", "", false, nil
}

// KeySpec says what a key is to be.
type KeySpec struct {
	// Name is shown in lists; empty becomes "key-<id>".
	Name string
	// Role bounds what the key may do.
	Role Role
	// Module is the name of the one module that the key is for, as the registry
	// spells it; empty for all of the organization. An owner's key has none.
	Module string
	// Lifetime is how long the key is good; zero is for ever.
	Lifetime time.Duration
}

// longestLifetime and longestGrace keep times in a range that every database and
// client can say.
const (
	longestLifetime = 10 * 365 * 24 * time.Hour
	longestGrace    = 90 * 24 * time.Hour
)

// check says what is wrong, all at once.
func (s KeySpec) check() error {
	var faults module.Faults
	if _, err := ParseRole(string(s.Role)); err != nil {
		faults = append(faults, module.Fault{Path: "role", Value: string(s.Role), Problem: "not a role", Advice: "use one of " + roleNames()})
	}
	if s.Module != "" && s.Role == RoleOwner {
		faults = append(faults, module.Fault{
			Path: "role", Value: string(s.Role), Problem: "an owner's key is for the whole organization",
			Advice: "use publisher, reader or machine for one module",
		})
	}
	if s.Lifetime < 0 || s.Lifetime > longestLifetime {
		faults = append(faults, module.Fault{
			Path: "lifetime", Value: s.Lifetime.String(), Problem: "not a time that a key can be good",
			Advice: "use up to ten years, or nothing for a key that does not end",
		})
	}
	if s.Name != "" {
		faults = append(faults, checkLabel("name", s.Name, maxKeyName)...)
	}
	return faults.Err()
}

// CreateKey makes an API key for an organization and returns it with its
// secret, which is nowhere kept and never shown again. Errors wrap
// module.ErrInvalid and module.ErrNotFound.
func (a *Accounts) CreateKey(ctx context.Context, orgID string, spec KeySpec) (Key, string, error) {
	spec.Name = strings.TrimSpace(spec.Name)
	if err := spec.check(); err != nil {
		return Key{}, "", err
	}
	key, secret := a.newKey(orgID, spec)
	if err := a.Store.CreateKey(ctx, key); err != nil {
		return Key{}, "", fmt.Errorf("create key for organization %q: %w", orgID, err)
	}
	return key, secret, nil
}

// RotateKey gives a key a new secret and returns it. The old secret, and the logins
// made with it, are good for grace more, or not at all with zero. A key of another
// organization is not found; one that has expired wraps module.ErrConflict.
func (a *Accounts) RotateKey(ctx context.Context, orgID, keyID string, grace time.Duration) (Key, string, error) {
	if grace < 0 || grace > longestGrace {
		return Key{}, "", module.Fault{Path: "grace", Value: grace.String(), Problem: "not a time that an old key can be good", Advice: "use up to 90 days"}
	}
	key, err := a.ownKey(ctx, orgID, keyID)
	if err != nil {
		return Key{}, "", fmt.Errorf("rotate key %q: %w", keyID, err)
	}
	if key.Workflow != nil {
		return Key{}, "", fmt.Errorf("%w: key %s is that of a workflow run, which asks for another one by itself", module.ErrConflict, key.ID)
	}
	now := a.now()
	if key.expired(now) {
		return Key{}, "", fmt.Errorf("%w: key %s expired on %s: make a new one", module.ErrConflict, key.ID, key.ExpiresAt.Format(time.DateTime))
	}
	secret := newSecret()
	key.OldHash, key.OldUntil = key.Hash, now.Add(grace)
	key.Hash, key.RotatedAt = a.Secret.mac(purposeAPIKey, key.ID, secret), now
	if err := a.Store.RotateKey(ctx, key); err != nil {
		return Key{}, "", fmt.Errorf("rotate key %q: %w", keyID, err)
	}
	return key, secret, nil
}

// ownKey is a key of an organization; those of others are not found.
func (a *Accounts) ownKey(ctx context.Context, orgID, keyID string) (Key, error) {
	if uuid.Validate(keyID) != nil {
		return Key{}, module.ErrNotFound
	}
	key, _, err := a.Store.KeyOrg(ctx, keyID)
	if err == nil && key.OrgID != orgID {
		err = module.ErrNotFound
	}
	return key, err
}

// Keys lists an organization's keys, oldest first, without their secrets.
func (a *Accounts) Keys(ctx context.Context, orgID string) ([]Key, error) {
	keys, err := a.Store.Keys(ctx, orgID)
	if err != nil {
		return nil, fmt.Errorf("list keys of organization %q: %w", orgID, err)
	}
	return keys, nil
}

// DeleteKey revokes a key and with it every token that stands for it, at once.
// A key of another organization is not found; the last owner's key wraps
// module.ErrConflict.
func (a *Accounts) DeleteKey(ctx context.Context, orgID, keyID string) error {
	if uuid.Validate(keyID) != nil {
		return fmt.Errorf("delete key %q: %w", keyID, module.ErrNotFound)
	}
	err := a.Store.DeleteKey(ctx, orgID, keyID, a.now())
	if errors.Is(err, module.ErrConflict) {
		return fmt.Errorf("%w: key %s is the last owner's key of the organization: make another one before", module.ErrConflict, keyID)
	}
	if err != nil {
		return fmt.Errorf("delete key %q: %w", keyID, err)
	}
	return nil
}

func (a *Accounts) newKey(orgID string, spec KeySpec) (Key, string) {
	now := a.now()
	key := Key{ID: uuid.NewString(), OrgID: orgID, Name: spec.Name, Role: spec.Role, Module: spec.Module, CreatedAt: now}
	if key.Name == "" {
		key.Name = "key-" + key.ID
	}
	if spec.Lifetime > 0 {
		key.ExpiresAt = now.Add(spec.Lifetime)
	}
	secret := newSecret()
	key.Hash = a.Secret.mac(purposeAPIKey, key.ID, secret)
	return key, secret
}

func newSecret() string {
	random := make([]byte, secretBytes)
	rand.Read(random) // never fails: crypto/rand ends the process instead
	return secretPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random))
}

func (k Key) expired(now time.Time) bool { return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) }

// hashes are those of the secrets that are good now: the present one, and the one
// before it during a rotation's grace.
func (k Key) hashes(now time.Time) [2][]byte {
	if now.Before(k.OldUntil) {
		return [2][]byte{k.Hash, k.OldHash}
	}
	return [2][]byte{k.Hash, nil}
}

// Authenticate tells who logs in with a key's id and secret. It costs one read
// and one HMAC, and as much time for an unknown key as for a wrong secret. Both
// wrap module.ErrUnauthorized with the same text; a failing database does not.
func (a *Accounts) Authenticate(ctx context.Context, keyID, secret string) (Principal, error) {
	// Ids are no secret, so refusing what cannot be one early tells nobody anything.
	if len(keyID) != len(uuid.Nil.String()) || uuid.Validate(keyID) != nil || len(secret) > maxSecret {
		return Principal{}, errBadKey()
	}
	hash := a.Secret.mac(purposeAPIKey, keyID, secret)
	key, org, err := a.Store.KeyOrg(ctx, keyID)
	switch {
	case errors.Is(err, module.ErrNotFound):
		key = Key{} // compare all the same
	case err != nil:
		return Principal{}, fmt.Errorf("look up key: %w", err)
	}
	return a.admit(key, org, errBadKey(), func(known []byte) bool { return hmac.Equal(hash, known) })
}

// admit lets in whoever fits one of the key's hashes, unless the key has expired.
// Both hashes are always tried, so that the time it takes tells nothing.
func (a *Accounts) admit(key Key, org Org, refusal error, fits func(hash []byte) bool) (Principal, error) {
	now := a.now()
	var match []byte
	for _, hash := range key.hashes(now) {
		if fits(hash) && len(hash) > 0 {
			match = hash
		}
	}
	switch {
	case match == nil:
		return Principal{}, refusal
	case key.expired(now) && key.Workflow != nil:
		return Principal{}, fmt.Errorf("%w: key %s of a workflow run expired on %s: exchange a new id token for a new key",
			module.ErrUnauthorized, key.ID, key.ExpiresAt.Format(time.RFC3339))
	case key.expired(now):
		return Principal{}, fmt.Errorf("%w: key %s expired on %s: ask an owner of %q for a new one",
			module.ErrUnauthorized, key.ID, key.ExpiresAt.Format(time.RFC3339), org.Name)
	}
	a.used.note(key, now)
	return Principal{KeyID: key.ID, KeyName: key.Name, Org: org, Role: key.Role, Module: key.Module, Workflow: key.Workflow, ExpiresAt: key.ExpiresAt, hash: match}, nil
}

func errBadKey() error {
	return fmt.Errorf("%w: the key id or the key is wrong, or the key was deleted: check both, or ask an owner for a new key", module.ErrUnauthorized)
}
