package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

const selectModule = `SELECT m.module_key, m.org_id, o.namespace, m.name, m.visibility, m.metadata, m.created_at, m.updated_at
	FROM modules m JOIN orgs o ON o.id = m.org_id `

func scanModule(row scanner) (registry.Module, error) {
	var m registry.Module
	var metadata string
	var created, updated int64
	err := row.Scan(&m.Key, &m.OrgID, &m.Namespace, &m.Name, &m.Visibility, &metadata, &created, &updated)
	if err != nil {
		return registry.Module{}, err
	}
	if err := json.Unmarshal([]byte(metadata), &m.Metadata); err != nil {
		return registry.Module{}, fmt.Errorf("stored metadata of module %s: %w", m.Key, err)
	}
	m.CreatedAt, m.UpdatedAt = fromMillis(created), fromMillis(updated)
	return m, nil
}

// querying is what Store and tx have in common for reading.
type querying interface {
	all(ctx context.Context, query string, args []any, scan func(scanner) error) error
}

func selectModules(ctx context.Context, db querying, where string, args ...any) ([]registry.Module, error) {
	var modules []registry.Module
	err := db.all(ctx, selectModule+where, args, func(row scanner) error {
		m, err := scanModule(row)
		modules = append(modules, m)
		return err
	})
	return modules, err
}

func selectOneModule(ctx context.Context, db querying, where string, args ...any) (registry.Module, error) {
	modules, err := selectModules(ctx, db, where, args...)
	if err != nil {
		return registry.Module{}, err
	}
	if len(modules) == 0 {
		return registry.Module{}, fmt.Errorf("%w: no such module", module.ErrNotFound)
	}
	return modules[0], nil
}

// CreateModule stores a module and returns it with its organization's namespace.
func (s *Store) CreateModule(ctx context.Context, m registry.Module) (registry.Module, error) {
	metadata, err := json.Marshal(m.Metadata)
	if err != nil {
		return registry.Module{}, fmt.Errorf("metadata: %w", err)
	}
	var created registry.Module
	err = s.tx(ctx, func(t *tx) error {
		if err := t.orgExists(ctx, m.OrgID); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO modules (module_key, org_id, name, visibility, metadata, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?)`,
			m.Key, m.OrgID, m.Name, string(m.Visibility), string(metadata), millis(m.CreatedAt), millis(m.UpdatedAt)); err != nil {
			return err
		}
		created, err = selectOneModule(ctx, t, "WHERE m.module_key = ?", m.Key)
		return err
	})
	return created, err
}

// Module finds a module by its organization's namespace or id.
func (s *Store) Module(ctx context.Context, id module.ID) (registry.Module, error) {
	if id.HasOrganizationUUID() {
		return selectOneModule(ctx, s, "WHERE m.org_id = ? AND lower(m.name) = lower(?) AND m.name = ?",
			strings.ToLower(id.Namespace), id.Name, id.Name)
	}
	return selectOneModule(ctx, s, `WHERE o.namespace <> '' AND lower(o.namespace) = lower(?) AND o.namespace = ?
		AND lower(m.name) = lower(?) AND m.name = ?`, id.Namespace, id.Namespace, id.Name, id.Name)
}

// Modules lists an organization's modules by name.
func (s *Store) Modules(ctx context.Context, orgID string) ([]registry.Module, error) {
	return selectModules(ctx, s, "WHERE m.org_id = ? ORDER BY m.name", orgID)
}

// UpdateModule runs change on a module's row, which it holds meanwhile, and stores visibility and metadata.
func (s *Store) UpdateModule(ctx context.Context, key string, change func(*registry.Module) error) (registry.Module, error) {
	var updated registry.Module
	err := s.tx(ctx, func(t *tx) error {
		m, err := t.lockModule(ctx, key)
		if err != nil {
			return err
		}
		if err := change(&m); err != nil {
			return err
		}
		updated = m
		return t.putModule(ctx, m)
	})
	return updated, err
}

// lockModule reads a module and holds its row; only the module's own, because an organization's row would make its
// modules wait for each other.
func (t *tx) lockModule(ctx context.Context, key string) (registry.Module, error) {
	var held string
	if err := t.one(ctx, "SELECT module_key FROM modules WHERE module_key = ?"+t.forUpdate(), []any{key}, &held); err != nil {
		return registry.Module{}, err
	}
	return selectOneModule(ctx, t, "WHERE m.module_key = ?", key)
}

func (t *tx) putModule(ctx context.Context, m registry.Module) error {
	metadata, err := json.Marshal(m.Metadata)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	_, err = t.exec(ctx, "UPDATE modules SET visibility = ?, metadata = ?, updated_at = ? WHERE module_key = ?",
		string(m.Visibility), string(metadata), millis(m.UpdatedAt), m.Key)
	return err
}
