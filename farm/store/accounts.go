package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
)

const orgColumns = "o.id, o.name, o.namespace, o.created_at"

func scanOrg(row scanner) (account.Org, error) {
	var org account.Org
	var created int64
	err := row.Scan(&org.ID, &org.Name, &org.Namespace, &created)
	org.CreatedAt = fromMillis(created)
	return org, err
}

const insertOrg = "INSERT INTO orgs (id, name, namespace, created_at) VALUES (?, ?, ?, ?)"

// CreateOrg stores an organization with its first key; a namespace that is taken is module.ErrConflict.
func (s *Store) CreateOrg(ctx context.Context, org account.Org, first account.Key) error {
	return s.tx(ctx, func(t *tx) error { return t.createOrg(ctx, org, first) })
}

func (t *tx) createOrg(ctx context.Context, org account.Org, first account.Key) error {
	if _, err := t.exec(ctx, insertOrg, org.ID, org.Name, org.Namespace, millis(org.CreatedAt)); err != nil {
		return err
	}
	_, err := t.exec(ctx, insertKey, keyArgs(first)...)
	return err
}

// SetNamespace gives an organization its namespace once. What builds call its modules follows: they are found by it.
func (s *Store) SetNamespace(ctx context.Context, orgID, namespace string) (account.Org, error) {
	var org account.Org
	err := s.tx(ctx, func(t *tx) error {
		row := t.inner.QueryRowContext(ctx, t.dialect.rebind("SELECT "+orgColumns+" FROM orgs o WHERE o.id = ?"+t.forUpdate()), orgID)
		var err error
		if org, err = scanOrg(row); err != nil {
			return mapError(err)
		}
		switch org.Namespace {
		case namespace:
			return nil
		case "":
		default:
			return fmt.Errorf("%w: it has a namespace", module.ErrForbidden)
		}
		if _, err := t.exec(ctx, "UPDATE orgs SET namespace = ? WHERE id = ?", namespace, orgID); err != nil {
			return err
		}
		org.Namespace = namespace
		const rename = "UPDATE builds SET module_id = ? || substr(module_id, ?) WHERE org_id = ? AND substr(module_id, 1, ?) = ?"
		_, err = t.exec(ctx, rename, namespace, len(orgID)+1, orgID, len(orgID)+1, orgID+":")
		return err
	})
	return org, err
}

// Org returns the organization with this id.
func (s *Store) Org(ctx context.Context, id string) (account.Org, error) {
	return s.oneOrg(ctx, "o.id = ?", id)
}

// OrgByNamespace returns the organization with exactly this public namespace.
func (s *Store) OrgByNamespace(ctx context.Context, namespace string) (account.Org, error) {
	return s.oneOrg(ctx, "o.namespace <> '' AND lower(o.namespace) = lower(?) AND o.namespace = ?", namespace, namespace)
}

func (s *Store) oneOrg(ctx context.Context, where string, args ...any) (account.Org, error) {
	orgs, err := s.orgs(ctx, "WHERE "+where, args...)
	if err != nil {
		return account.Org{}, err
	}
	if len(orgs) == 0 {
		return account.Org{}, fmt.Errorf("%w: no such organization", module.ErrNotFound)
	}
	return orgs[0], nil
}

// Orgs lists every organization, oldest first.
func (s *Store) Orgs(ctx context.Context) ([]account.Org, error) { return s.orgs(ctx, "") }

func (s *Store) orgs(ctx context.Context, where string, args ...any) ([]account.Org, error) {
	var orgs []account.Org
	query := "SELECT " + orgColumns + " FROM orgs o " + where + " ORDER BY o.created_at, o.id"
	err := s.all(ctx, query, args, func(row scanner) error {
		org, err := scanOrg(row)
		orgs = append(orgs, org)
		return err
	})
	return orgs, err
}

const insertKey = "INSERT INTO api_keys (id, org_id, name, role, module_name, hash, created_at, expires_at, workflow) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

func keyArgs(key account.Key) []any {
	return []any{
		key.ID, key.OrgID, key.Name, string(key.Role), key.Module, key.Hash, millis(key.CreatedAt), millis(key.ExpiresAt), workflowText(key.Workflow),
	}
}

// CreateKey stores an API key; an unknown organization is module.ErrNotFound.
func (s *Store) CreateKey(ctx context.Context, key account.Key) error {
	return s.tx(ctx, func(t *tx) error {
		if err := t.orgExists(ctx, key.OrgID); err != nil {
			return err
		}
		_, err := t.exec(ctx, insertKey, keyArgs(key)...)
		return err
	})
}

func (t *tx) orgExists(ctx context.Context, id string) error {
	var found string
	return t.one(ctx, "SELECT id FROM orgs WHERE id = ?", []any{id}, &found)
}

const keyColumns = "k.id, k.org_id, k.name, k.role, k.module_name, k.hash, k.old_hash, k.old_until, k.created_at, k.expires_at, k.rotated_at, k.used_at, k.workflow"

// scanKey reads the columns of a key, and whatever more the query selects into more.
func scanKey(row scanner, more ...any) (account.Key, error) {
	var key account.Key
	var oldUntil, created, expires, rotated, used int64
	var workflow string
	err := row.Scan(append([]any{
		&key.ID, &key.OrgID, &key.Name, &key.Role, &key.Module, &key.Hash, &key.OldHash, &oldUntil, &created, &expires, &rotated, &used, &workflow,
	}, more...)...)
	if err == nil {
		key.Workflow, err = workflowFrom(workflow)
	}
	key.OldUntil, key.CreatedAt, key.ExpiresAt = fromMillis(oldUntil), fromMillis(created), fromMillis(expires)
	key.RotatedAt, key.UsedAt = fromMillis(rotated), fromMillis(used)
	return key, err
}

// KeyOrg returns a key and its organization in one read.
func (s *Store) KeyOrg(ctx context.Context, keyID string) (account.Key, account.Org, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var org account.Org
	var created int64
	stmt, err := s.prepared(ctx, "SELECT "+keyColumns+", "+orgColumns+" FROM api_keys k JOIN orgs o ON o.id = k.org_id WHERE k.id = ?") //nolint:sqlclosecheck // kept until the store closes
	if err != nil {
		return account.Key{}, account.Org{}, err
	}
	key, err := scanKey(stmt.QueryRowContext(ctx, keyID), &org.ID, &org.Name, &org.Namespace, &created)
	if err != nil {
		return account.Key{}, account.Org{}, mapError(err)
	}
	org.CreatedAt = fromMillis(created)
	return key, org, nil
}

// Keys lists an organization's keys, oldest first.
func (s *Store) Keys(ctx context.Context, orgID string) ([]account.Key, error) {
	var keys []account.Key
	query := "SELECT " + keyColumns + " FROM api_keys k WHERE k.org_id = ? ORDER BY k.created_at, k.id"
	err := s.all(ctx, query, []any{orgID}, func(row scanner) error {
		key, err := scanKey(row)
		keys = append(keys, key)
		return err
	})
	return keys, err
}

// RotateKey replaces a key's hash; the one that was there becomes the old one.
func (s *Store) RotateKey(ctx context.Context, key account.Key) error {
	n, err := s.exec(ctx, "UPDATE api_keys SET old_hash = hash, old_until = ?, hash = ?, rotated_at = ? WHERE id = ? AND org_id = ?",
		millis(key.OldUntil), key.Hash, millis(key.RotatedAt), key.ID, key.OrgID)
	if err == nil && n == 0 {
		return fmt.Errorf("%w: no such key", module.ErrNotFound)
	}
	return err
}

// DeleteKey removes a key of an organization, unless it is the last owner's key that is good. Two deletions at once
// wait for each other at the organization's row.
func (s *Store) DeleteKey(ctx context.Context, orgID, keyID string, now time.Time) error {
	return s.tx(ctx, func(t *tx) error {
		var role, org string
		if err := t.one(ctx, "SELECT id FROM orgs WHERE id = ?"+t.forUpdate(), []any{orgID}, &org); err != nil {
			return err
		}
		if err := t.one(ctx, "SELECT role FROM api_keys WHERE id = ? AND org_id = ?", []any{keyID, orgID}, &role); err != nil {
			return err
		}
		if role == string(account.RoleOwner) {
			var others int
			const count = "SELECT count(*) FROM api_keys WHERE org_id = ? AND role = ? AND id <> ? AND (expires_at = 0 OR expires_at > ?)"
			if err := t.one(ctx, count, []any{orgID, role, keyID, millis(now)}, &others); err != nil {
				return err
			}
			if others == 0 {
				return fmt.Errorf("%w: the last owner's key", module.ErrConflict)
			}
		}
		_, err := t.exec(ctx, "DELETE FROM api_keys WHERE id = ? AND org_id = ?", keyID, orgID)
		return err
	})
}

// UseKeys notes when keys were last used, in one transaction. Rows are taken in order, so that two nodes cannot wait
// for each other.
func (s *Store) UseKeys(ctx context.Context, used map[string]time.Time) error {
	return s.tx(ctx, func(t *tx) error {
		for _, id := range slices.Sorted(maps.Keys(used)) {
			at := millis(used[id])
			if _, err := t.exec(ctx, "UPDATE api_keys SET used_at = ? WHERE id = ? AND used_at < ?", at, id, at); err != nil {
				return err
			}
		}
		return nil
	})
}

// Found makes the first organization and its key, or returns what is there. The founding row is inserted first: on
// PostgreSQL a second node that starts at the same moment waits on it and then finds the first one's organization.
func (s *Store) Found(ctx context.Context, org account.Org, key account.Key, fingerprint string) (account.Founding, error) {
	var founding account.Founding
	err := s.tx(ctx, func(t *tx) error {
		founding = account.Founding{Org: org, Fingerprint: fingerprint, Created: true}
		n, err := t.exec(ctx, "INSERT INTO founding (id, fingerprint, created_at, org_id) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
			fingerprint, millis(org.CreatedAt), org.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			founding, err = t.founded(ctx)
			return err
		}
		return t.createOrg(ctx, org, key)
	})
	if err != nil {
		return account.Founding{}, err
	}
	return founding, nil
}

func (t *tx) founded(ctx context.Context) (account.Founding, error) {
	var f account.Founding
	var created int64
	err := t.one(ctx, "SELECT "+orgColumns+", f.fingerprint FROM founding f JOIN orgs o ON o.id = f.org_id", nil,
		&f.Org.ID, &f.Org.Name, &f.Org.Namespace, &created, &f.Fingerprint)
	f.Org.CreatedAt = fromMillis(created)
	return f, err
}

// FoundingOrg is the id of the organization that the farm was made with.
func (s *Store) FoundingOrg(ctx context.Context) (string, error) {
	var id string
	err := s.one(ctx, "SELECT org_id FROM founding", nil, &id)
	return id, err
}
