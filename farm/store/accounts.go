package store

import (
	"context"
	"fmt"

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

// CreateOrg stores an organization; a namespace that is taken is module.ErrConflict.
func (s *Store) CreateOrg(ctx context.Context, org account.Org) error {
	_, err := s.exec(ctx, insertOrg, org.ID, org.Name, org.Namespace, millis(org.CreatedAt))
	return err
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

const insertKey = "INSERT INTO api_keys (id, org_id, name, role, hash, created_at) VALUES (?, ?, ?, ?, ?, ?)"

func keyArgs(key account.Key) []any {
	return []any{key.ID, key.OrgID, key.Name, string(key.Role), key.Hash, millis(key.CreatedAt)}
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

const keyColumns = "k.id, k.org_id, k.name, k.role, k.hash, k.created_at"

// KeyOrg returns a key and its organization in one read.
func (s *Store) KeyOrg(ctx context.Context, keyID string) (account.Key, account.Org, error) {
	var key account.Key
	var org account.Org
	var keyCreated, orgCreated int64
	err := s.one(ctx, "SELECT "+keyColumns+", "+orgColumns+" FROM api_keys k JOIN orgs o ON o.id = k.org_id WHERE k.id = ?",
		[]any{keyID},
		&key.ID, &key.OrgID, &key.Name, &key.Role, &key.Hash, &keyCreated,
		&org.ID, &org.Name, &org.Namespace, &orgCreated)
	if err != nil {
		return account.Key{}, account.Org{}, err
	}
	key.CreatedAt, org.CreatedAt = fromMillis(keyCreated), fromMillis(orgCreated)
	return key, org, nil
}

// Keys lists an organization's keys, oldest first.
func (s *Store) Keys(ctx context.Context, orgID string) ([]account.Key, error) {
	var keys []account.Key
	query := "SELECT " + keyColumns + " FROM api_keys k WHERE k.org_id = ? ORDER BY k.created_at, k.id"
	err := s.all(ctx, query, []any{orgID}, func(row scanner) error {
		var key account.Key
		var created int64
		err := row.Scan(&key.ID, &key.OrgID, &key.Name, &key.Role, &key.Hash, &created)
		key.CreatedAt = fromMillis(created)
		keys = append(keys, key)
		return err
	})
	return keys, err
}

// DeleteKey removes a key of an organization.
func (s *Store) DeleteKey(ctx context.Context, orgID, keyID string) error {
	n, err := s.exec(ctx, "DELETE FROM api_keys WHERE id = ? AND org_id = ?", keyID, orgID)
	if err == nil && n == 0 {
		return fmt.Errorf("%w: no such key", module.ErrNotFound)
	}
	return err
}

// Found makes the first organization and its key, or returns what is there. The founding row is inserted first: on
// PostgreSQL a second node that starts at the same moment waits on it and then finds the first one's organization.
func (s *Store) Found(ctx context.Context, org account.Org, key account.Key, fingerprint string) (account.Founding, error) {
	var founding account.Founding
	err := s.tx(ctx, func(t *tx) error {
		founding = account.Founding{Org: org, Fingerprint: fingerprint, Created: true}
		n, err := t.exec(ctx, "INSERT INTO founding (id, fingerprint, created_at) VALUES (1, ?, ?) ON CONFLICT (id) DO NOTHING",
			fingerprint, millis(org.CreatedAt))
		if err != nil {
			return err
		}
		if n == 0 {
			founding, err = t.founded(ctx)
			return err
		}
		if _, err := t.exec(ctx, insertOrg, org.ID, org.Name, org.Namespace, millis(org.CreatedAt)); err != nil {
			return err
		}
		_, err = t.exec(ctx, insertKey, keyArgs(key)...)
		return err
	})
	if err != nil {
		return account.Founding{}, err
	}
	return founding, nil
}

func (t *tx) founded(ctx context.Context) (account.Founding, error) {
	var f account.Founding
	var created int64
	err := t.one(ctx, "SELECT "+orgColumns+", f.fingerprint FROM orgs o, founding f ORDER BY o.created_at, o.id LIMIT 1", nil,
		&f.Org.ID, &f.Org.Name, &f.Org.Namespace, &created, &f.Fingerprint)
	f.Org.CreatedAt = fromMillis(created)
	return f, err
}
