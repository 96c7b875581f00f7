package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

const selectModule = `SELECT m.module_key, m.org_id, o.namespace, m.name, m.visibility, m.metadata,
		m.deprecated_at, m.deprecated_why, m.created_at, m.updated_at
	FROM modules m JOIN orgs o ON o.id = m.org_id `

func scanModule(row scanner) (registry.Module, error) {
	var m registry.Module
	var metadata string
	var deprecated, created, updated int64
	err := row.Scan(&m.Key, &m.OrgID, &m.Namespace, &m.Name, &m.Visibility, &metadata, &deprecated, &m.Deprecated.Why, &created, &updated)
	if err != nil {
		return registry.Module{}, err
	}
	if err := json.Unmarshal([]byte(metadata), &m.Metadata); err != nil {
		return registry.Module{}, fmt.Errorf("stored metadata of module %s: %w", m.Key, err)
	}
	m.Deprecated.At, m.CreatedAt, m.UpdatedAt = fromMillis(deprecated), fromMillis(created), fromMillis(updated)
	return m, nil
}

// querying is what Store and tx have in common for reading.
type querying interface {
	all(ctx context.Context, query string, args []any, scan func(scanner) error) error
}

func selectModules(ctx context.Context, db querying, where string, args ...any) ([]registry.Module, error) {
	return queryModules(ctx, db, selectModule+where, args...)
}

// queryModules runs a query whose rows are those of selectModule.
func queryModules(ctx context.Context, db querying, query string, args ...any) ([]registry.Module, error) {
	var modules []registry.Module
	err := db.all(ctx, query, args, func(row scanner) error {
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

// CreateModule stores a module and returns it with its organization's namespace. A deleted module of that name gives
// its row, so that its key and what was deleted with it stay known.
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
		key, err := t.deletedModule(ctx, m)
		if err != nil {
			return err
		}
		if key == "" {
			key = m.Key
			_, err = t.exec(ctx, `INSERT INTO modules (module_key, org_id, name, visibility, metadata, created_at, updated_at)
				VALUES (?, ?, ?, ?, ?, ?, ?)`,
				key, m.OrgID, m.Name, string(m.Visibility), string(metadata), millis(m.CreatedAt), millis(m.UpdatedAt))
		} else {
			_, err = t.exec(ctx, `UPDATE modules SET name = ?, visibility = ?, metadata = ?, created_at = ?, updated_at = ?,
				deprecated_at = 0, deprecated_why = '', deleted_at = 0, deleted_by = '' WHERE module_key = ?`,
				m.Name, string(m.Visibility), string(metadata), millis(m.CreatedAt), millis(m.UpdatedAt), key)
		}
		if err != nil {
			return err
		}
		if created, err = selectOneModule(ctx, t, "WHERE m.module_key = ?", key); err != nil {
			return err
		}
		return t.putWords(ctx, created)
	})
	return created, err
}

// deletedModule is the key of a deleted module with the name of m; empty for none.
func (t *tx) deletedModule(ctx context.Context, m registry.Module) (key string, err error) {
	err = t.one(ctx, "SELECT module_key FROM modules WHERE org_id = ? AND lower(name) = lower(?) AND deleted_at <> 0"+t.forUpdate(),
		[]any{m.OrgID, m.Name}, &key)
	if errors.Is(err, module.ErrNotFound) {
		return "", nil
	}
	return key, err
}

// Module finds a module by its organization's namespace or id.
func (s *Store) Module(ctx context.Context, id module.ID) (registry.Module, error) {
	where, args := whereModule(id)
	return selectOneModule(ctx, s, where, args...)
}

func whereModule(id module.ID) (where string, args []any) {
	if id.HasOrganizationUUID() {
		return "WHERE m.org_id = ? AND lower(m.name) = lower(?) AND m.name = ? AND m.deleted_at = 0",
			[]any{strings.ToLower(id.Namespace), id.Name, id.Name}
	}
	return `WHERE o.namespace <> '' AND lower(o.namespace) = lower(?) AND o.namespace = ?
		AND lower(m.name) = lower(?) AND m.name = ? AND m.deleted_at = 0`, []any{id.Namespace, id.Namespace, id.Name, id.Name}
}

// Modules lists an organization's modules by name.
func (s *Store) Modules(ctx context.Context, orgID string) ([]registry.Module, error) {
	return selectModules(ctx, s, "WHERE m.org_id = ? AND m.deleted_at = 0 ORDER BY m.name", orgID)
}

// UpdateModule runs change on a module's row, which it holds meanwhile, and stores what may change of it with the
// events.
func (s *Store) UpdateModule(ctx context.Context, key string, change func(*registry.Module) ([]registry.Event, error)) (registry.Module, error) {
	var updated registry.Module
	err := s.tx(ctx, func(t *tx) error {
		m, err := t.lockModule(ctx, key)
		if err != nil {
			return err
		}
		events, err := change(&m)
		if err != nil {
			return err
		}
		updated = m
		if err := t.putEvents(ctx, key, events...); err != nil {
			return err
		}
		return t.putModule(ctx, m)
	})
	return updated, err
}

// lockModule reads a module and holds its row; only the module's own, because an organization's row would make its
// modules wait for each other.
func (t *tx) lockModule(ctx context.Context, key string) (registry.Module, error) {
	var held string
	if err := t.one(ctx, "SELECT module_key FROM modules WHERE module_key = ? AND deleted_at = 0"+t.forUpdate(), []any{key}, &held); err != nil {
		return registry.Module{}, err
	}
	return selectOneModule(ctx, t, "WHERE m.module_key = ?", key)
}

func (t *tx) putModule(ctx context.Context, m registry.Module) error {
	metadata, err := json.Marshal(m.Metadata)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	_, err = t.exec(ctx, "UPDATE modules SET visibility = ?, metadata = ?, deprecated_at = ?, deprecated_why = ?, updated_at = ? WHERE module_key = ?",
		string(m.Visibility), string(metadata), millis(m.Deprecated.At), m.Deprecated.Why, millis(m.UpdatedAt), m.Key)
	if err != nil {
		return err
	}
	return t.putWords(ctx, m)
}
