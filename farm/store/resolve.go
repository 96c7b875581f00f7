package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

// Machines ask which upload they get every few seconds, so these reads are narrow (no metadata, no manifest), each
// walks one index, and their statements are kept prepared. Nothing is cached: what was published, deprecated, hidden
// or deleted a moment ago, by whichever node, shows in the next answer.

const selectResolvable = `SELECT m.module_key, m.org_id, o.namespace, m.name, m.visibility, m.deprecated_at, m.deprecated_why
	FROM modules m JOIN orgs o ON o.id = m.org_id `

// Resolvable finds a module by its organization's namespace or id, without metadata and times.
func (s *Store) Resolvable(ctx context.Context, id module.ID) (registry.Module, error) {
	where, args := whereModule(id)
	var m registry.Module
	var deprecated int64
	err := s.oneOften(ctx, selectResolvable+where, args,
		&m.Key, &m.OrgID, &m.Namespace, &m.Name, &m.Visibility, &deprecated, &m.Deprecated.Why)
	m.Deprecated.At = fromMillis(deprecated)
	return m, err
}

// Uploads returns what resolving has to know of a module's uploads, in no special order.
func (s *Store) Uploads(ctx context.Context, key string) ([]module.Upload, error) {
	why, err := s.deprecated(ctx, key)
	if err != nil {
		return nil, err
	}
	uploads := make([]module.Upload, 0, 32)
	err = s.allOften(ctx, "SELECT version, platform, tags FROM releases WHERE module_key = ?", []any{key}, func(row scanner) error {
		var version, platform, tags string
		if err := row.Scan(&version, &platform, &tags); err != nil {
			return err
		}
		u, err := readUpload(version, platform, tags)
		u.DeprecationMessage, u.Deprecated = why[version]
		uploads = append(uploads, u)
		return err
	})
	return uploads, err
}

// deprecated returns the messages of a module's deprecated versions. Those are few, and have an index of their own:
// joining would read the row of every version, with its metadata.
func (s *Store) deprecated(ctx context.Context, key string) (map[string]string, error) {
	why := map[string]string{}
	err := s.allOften(ctx, "SELECT version, deprecated_why FROM versions WHERE module_key = ? AND deprecated_at <> 0", []any{key},
		func(row scanner) error {
			var version, message string
			err := row.Scan(&version, &message)
			why[version] = message
			return err
		})
	return why, err
}

func readUpload(version, platform, tags string) (u module.Upload, err error) {
	if u.Version, err = module.ParseVersion(version); err != nil {
		return u, fmt.Errorf("stored release: %w", err)
	}
	if u.Platform, err = module.ParsePlatform(platform); err != nil {
		return u, fmt.Errorf("stored release: %w", err)
	}
	u.Tags = splitTags(tags)
	return u, nil
}

// Release returns one release of a module, or an error that wraps module.ErrNotFound.
func (s *Store) Release(ctx context.Context, key string, u module.Upload) (module.Release, error) {
	stmt, err := s.prepared(ctx, selectRelease+"WHERE r.module_key = ? AND r.version = ? AND r.platform = ? AND r.tags = ?") //nolint:sqlclosecheck // kept until the store closes
	if err != nil {
		return module.Release{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rel, err := scanRelease(stmt.QueryRowContext(ctx, key, u.Version.String(), u.Platform.String(), strings.Join(u.Tags, "\n")))
	return rel, mapError(err)
}
