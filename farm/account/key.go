package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

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
	key, secret := a.newKey(org.ID, "first key", RoleOwner)
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

// CreateKey makes an API key for an organization and returns it with its
// secret, which is nowhere kept and never shown again. An empty name becomes
// "key-<id>". Errors wrap module.ErrInvalid and module.ErrNotFound.
func (a *Accounts) CreateKey(ctx context.Context, orgID, name string, role Role) (Key, string, error) {
	if _, err := ParseRole(string(role)); err != nil {
		return Key{}, "", err
	}
	key, secret := a.newKey(orgID, name, role)
	if key.Name == "" {
		key.Name = "key-" + key.ID
	}
	if faults := checkLabel("key name", key.Name, maxKeyName); len(faults) > 0 {
		return Key{}, "", faults
	}
	if err := a.Store.CreateKey(ctx, key); err != nil {
		return Key{}, "", fmt.Errorf("create key for organization %q: %w", orgID, err)
	}
	return key, secret, nil
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
// A key of another organization is not found.
func (a *Accounts) DeleteKey(ctx context.Context, orgID, keyID string) error {
	if uuid.Validate(keyID) != nil {
		return fmt.Errorf("delete key %q: %w", keyID, module.ErrNotFound)
	}
	if err := a.Store.DeleteKey(ctx, orgID, keyID); err != nil {
		return fmt.Errorf("delete key %q: %w", keyID, err)
	}
	return nil
}

func (a *Accounts) newKey(orgID, name string, role Role) (Key, string) {
	random := make([]byte, secretBytes)
	rand.Read(random) // never fails: crypto/rand ends the process instead
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	secret := secretPrefix + strings.ToLower(encoding.EncodeToString(random))
	key := Key{ID: uuid.NewString(), OrgID: orgID, Name: strings.TrimSpace(name), Role: role, CreatedAt: a.now()}
	key.Hash = a.Secret.mac(purposeAPIKey, key.ID, secret)
	return key, secret
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
		key.Hash = make([]byte, len(hash)) // compare all the same
	case err != nil:
		return Principal{}, fmt.Errorf("look up key: %w", err)
	}
	if !hmac.Equal(hash, key.Hash) {
		return Principal{}, errBadKey()
	}
	return principal(key, org), nil
}

func principal(key Key, org Org) Principal {
	return Principal{KeyID: key.ID, Org: org, Role: key.Role, hash: key.Hash}
}

func errBadKey() error {
	return fmt.Errorf("%w: the key id or the key is wrong, or the key was deleted: check both, or ask an owner for a new key", module.ErrUnauthorized)
}
