package store

import (
	"context"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

const selectSourcePackage = `SELECT org_id, name, version, sha256, created_at, used_at FROM source_packages
	WHERE org_id = ? AND name = ? AND version = ?`

func scanSourcePackage(one func(dest ...any) error) (p registry.SourcePackage, err error) {
	var created, used int64
	err = one(&p.OrgID, &p.Name, &p.Version, &p.SHA256, &created, &used)
	p.CreatedAt, p.UsedAt = fromMillis(created), fromMillis(used)
	return p, err
}

// PutSourcePackage stores a package, or touches the one of its version.
func (s *Store) PutSourcePackage(ctx context.Context, p registry.SourcePackage) (stored registry.SourcePackage, err error) {
	err = s.tx(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO source_packages (org_id, name, version, sha256, created_at, used_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (org_id, name, version) DO UPDATE SET used_at = excluded.used_at`,
			p.OrgID, p.Name, p.Version, p.SHA256, millis(p.CreatedAt), millis(p.UsedAt))
		if err != nil {
			return err
		}
		stored, err = t.sourcePackage(ctx, p.OrgID, p.Name, p.Version)
		return err
	})
	return stored, err
}

// SourcePackage returns a package and touches it.
func (s *Store) SourcePackage(ctx context.Context, orgID, name, version string, since, at time.Time) (p registry.SourcePackage, err error) {
	err = s.tx(ctx, func(t *tx) error {
		n, err := t.exec(ctx, "UPDATE source_packages SET used_at = ? WHERE org_id = ? AND name = ? AND version = ? AND used_at >= ?",
			millis(at), orgID, name, version, millis(since))
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: no such package", module.ErrNotFound)
		}
		p, err = t.sourcePackage(ctx, orgID, name, version)
		return err
	})
	return p, err
}

func (t *tx) sourcePackage(ctx context.Context, orgID, name, version string) (registry.SourcePackage, error) {
	return scanSourcePackage(func(dest ...any) error { return t.one(ctx, selectSourcePackage, []any{orgID, name, version}, dest...) })
}

// ForgetSourcePackages removes packages that were not used for long.
func (s *Store) ForgetSourcePackages(ctx context.Context, before time.Time) error {
	_, err := s.exec(ctx, "DELETE FROM source_packages WHERE used_at < ?", millis(before))
	return err
}

// DeleteSourcePackage removes a package.
func (s *Store) DeleteSourcePackage(ctx context.Context, orgID, name, version string) error {
	n, err := s.exec(ctx, "DELETE FROM source_packages WHERE org_id = ? AND name = ? AND version = ?", orgID, name, version)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: no such package", module.ErrNotFound)
	}
	return err
}
