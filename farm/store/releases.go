package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

const selectRelease = `SELECT o.id, o.namespace, m.name, r.version, r.platform, r.tags, r.commit_sha, r.build_id, r.strategy,
		r.sha256, b.size, b.crc32c, b.tar_sha256, r.entrypoint, r.manifest, r.warnings, r.published_at, r.report
	FROM releases r
	JOIN modules m ON m.module_key = r.module_key
	JOIN orgs o ON o.id = m.org_id
	JOIN blobs b ON b.sha256 = r.sha256 `

// releaseRow is a release as it is stored.
type releaseRow struct {
	orgID, namespace, name                      string
	version, platform, tags, manifest, warnings string
	report                                      *string
	crc32c, publishedAt                         int64
	release                                     module.Release
}

func scanRelease(row scanner) (module.Release, error) {
	var s releaseRow
	r := &s.release
	err := row.Scan(&s.orgID, &s.namespace, &s.name, &s.version, &s.platform, &s.tags, &r.Commit, &r.BuildID, &r.Strategy,
		&r.SHA256, &r.Size, &s.crc32c, &r.TarSHA256, &r.Entrypoint, &s.manifest, &s.warnings, &s.publishedAt, &s.report)
	if err != nil {
		return module.Release{}, err
	}
	return s.read()
}

func (s *releaseRow) read() (module.Release, error) {
	r := s.release
	r.ID = registry.Module{OrgID: s.orgID, Namespace: s.namespace, Name: s.name}.ID()
	var err error
	if r.Version, err = module.ParseVersion(s.version); err != nil {
		return module.Release{}, fmt.Errorf("stored release: %w", err)
	}
	if r.Platform, err = module.ParsePlatform(s.platform); err != nil {
		return module.Release{}, fmt.Errorf("stored release: %w", err)
	}
	r.Tags = splitTags(s.tags)
	if s.manifest != "" {
		r.Manifest = json.RawMessage(s.manifest)
	}
	if err := json.Unmarshal([]byte(s.warnings), &r.Warnings); err != nil {
		return module.Release{}, fmt.Errorf("stored warnings: %w", err)
	}
	if s.report != nil {
		r.Report = &module.BuildReport{}
		if err := json.Unmarshal([]byte(*s.report), r.Report); err != nil {
			return module.Release{}, fmt.Errorf("stored build report: %w", err)
		}
	}
	r.CRC32C = uint32(s.crc32c)
	r.PublishedAt = fromMillis(s.publishedAt)
	return r, nil
}

// splitTags reads tags as they are stored, one a line.
func splitTags(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

func selectReleases(ctx context.Context, db querying, key string, v module.Version) ([]module.Release, error) {
	where, args := "WHERE r.module_key = ?", []any{key}
	if !v.IsZero() {
		where, args = where+" AND r.version = ?", append(args, v.String())
	}
	return queryReleases(ctx, db, where, args...)
}

// OrgReleases returns releases of an organization's modules, or of one of them.
func (s *Store) OrgReleases(ctx context.Context, orgID, name string, limit int) ([]module.Release, error) {
	where, args := "WHERE m.org_id = ? AND m.deleted_at = 0", []any{orgID}
	if name != "" {
		where, args = where+" AND lower(m.name) = lower(?)", append(args, name)
	}
	return queryReleases(ctx, s, where+" LIMIT ?", append(args, limit)...)
}

func queryReleases(ctx context.Context, db querying, where string, args ...any) ([]module.Release, error) {
	var releases []module.Release
	err := db.all(ctx, selectRelease+where, args, func(row scanner) error {
		r, err := scanRelease(row)
		releases = append(releases, r)
		return err
	})
	return releases, err
}

// Releases returns the releases of one version of a module, or of all with the zero version.
func (s *Store) Releases(ctx context.Context, key string, v module.Version) ([]module.Release, error) {
	return selectReleases(ctx, s, key, v)
}

// VersionRows returns what is stored about each version of a module that has not been deleted.
func (s *Store) VersionRows(ctx context.Context, key string) (map[module.Version]registry.VersionRow, error) {
	rows := map[module.Version]registry.VersionRow{}
	err := s.all(ctx, "SELECT version, metadata, deprecated_at, deprecated_why FROM versions WHERE module_key = ? AND deleted_at = 0", []any{key},
		func(row scanner) error {
			var text, metadata string
			var deprecated int64
			var r registry.VersionRow
			if err := row.Scan(&text, &metadata, &deprecated, &r.Deprecated.Why); err != nil {
				return err
			}
			v, err := module.ParseVersion(text)
			if err != nil {
				return fmt.Errorf("stored version: %w", err)
			}
			if err := json.Unmarshal([]byte(metadata), &r.Metadata); err != nil {
				return fmt.Errorf("stored metadata of version %s: %w", v, err)
			}
			r.Deprecated.At = fromMillis(deprecated)
			rows[v] = r
			return nil
		})
	return rows, err
}

// Deprecate stores a version's deprecation and the event. It leaves what was frozen alone.
func (s *Store) Deprecate(ctx context.Context, key string, v module.Version, d registry.Deprecation, e registry.Event) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := t.exec(ctx, "UPDATE versions SET deprecated_at = ?, deprecated_why = ? WHERE module_key = ? AND version = ? AND deleted_at = 0",
			millis(d.At), d.Why, key, v.String())
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: no such version", module.ErrNotFound)
		}
		return t.putEvents(ctx, key, e)
	})
}

// Publish runs plan on what is stored for a version and stores its outcome. It holds the module's row, so that those
// who publish the same module follow each other, and the rows of the blobs.
func (s *Store) Publish(ctx context.Context, key string, v module.Version, digests []string,
	plan func(registry.History) (registry.Change, error),
) error {
	return s.tx(ctx, func(t *tx) error {
		history, err := t.history(ctx, key, v, digests)
		if err != nil {
			return err
		}
		change, err := plan(history)
		if err != nil {
			return err
		}
		return t.publish(ctx, history.Module, v, change)
	})
}

func (t *tx) history(ctx context.Context, key string, v module.Version, digests []string) (registry.History, error) {
	m, err := t.lockModule(ctx, key)
	if err != nil {
		return registry.History{}, err
	}
	h := registry.History{Module: m}
	if h.Releases, err = selectReleases(ctx, t, key, v); err != nil {
		return registry.History{}, err
	}
	if err := t.versionHistory(ctx, key, v, &h); err != nil {
		return registry.History{}, err
	}
	if h.Versions, err = t.versions(ctx, key); err != nil {
		return registry.History{}, err
	}
	h.Blobs, err = t.holdBlobs(ctx, digests)
	return h, err
}

// versionHistory reads what became of one version before.
func (t *tx) versionHistory(ctx context.Context, key string, v module.Version, h *registry.History) error {
	var metadata, by string
	var at int64
	err := t.one(ctx, "SELECT metadata, deleted_at, deleted_by FROM versions WHERE module_key = ? AND version = ?", []any{key, v.String()}, &metadata, &at, &by)
	if errors.Is(err, module.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	h.Frozen = &registry.Metadata{}
	if err := json.Unmarshal([]byte(metadata), h.Frozen); err != nil {
		return fmt.Errorf("stored metadata of version %s: %w", v, err)
	}
	if at != 0 {
		h.Deleted = &registry.Deleted{At: fromMillis(at), By: by}
	}
	return t.all(ctx, "SELECT platform, tags, deleted_at, deleted_by FROM deleted_releases WHERE module_key = ? AND version = ?",
		[]any{key, v.String()}, func(row scanner) error {
			var platform, tags string
			var slot registry.DeletedSlot
			if err := row.Scan(&platform, &tags, &at, &slot.By); err != nil {
				return err
			}
			slot.At = fromMillis(at)
			slot.Tags = splitTags(tags)
			var err error
			slot.Platform, err = module.ParsePlatform(platform)
			h.DeletedSlots = append(h.DeletedSlots, slot)
			return err
		})
}

// versions are the published versions of a module, without those that were deleted.
func (t *tx) versions(ctx context.Context, key string) ([]module.Version, error) {
	var versions []module.Version
	err := t.all(ctx, "SELECT version FROM versions WHERE module_key = ? AND deleted_at = 0", []any{key}, func(row scanner) error {
		var text string
		if err := row.Scan(&text); err != nil {
			return err
		}
		v, err := module.ParseVersion(text)
		versions = append(versions, v)
		return err
	})
	return versions, err
}

func (t *tx) publish(ctx context.Context, m registry.Module, v module.Version, change registry.Change) error {
	if change.Freeze != nil {
		metadata, err := json.Marshal(change.Freeze)
		if err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
		if _, err := t.exec(ctx, "INSERT INTO versions (module_key, version, metadata, created_at) VALUES (?, ?, ?, ?)",
			m.Key, v.String(), string(metadata), millis(change.At)); err != nil {
			return err
		}
	}
	for _, r := range change.Releases {
		if err := t.insertRelease(ctx, m.Key, r); err != nil {
			return err
		}
	}
	if change.Current != nil {
		m.Metadata, m.UpdatedAt = *change.Current, change.At
		return t.putModule(ctx, m)
	}
	return nil
}

func (t *tx) insertRelease(ctx context.Context, key string, r module.Release) error {
	warnings, err := json.Marshal(slices.Concat([]string{}, r.Warnings))
	if err != nil {
		return fmt.Errorf("warnings: %w", err)
	}
	report, err := jsonText(r.Report, r.Report != nil)
	if err != nil {
		return fmt.Errorf("build report: %w", err)
	}
	_, err = t.exec(ctx, `INSERT INTO releases (module_key, version, platform, tags, commit_sha, build_id, strategy,
			sha256, entrypoint, manifest, warnings, published_at, report)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		key, r.Version.String(), r.Platform.String(), strings.Join(r.Tags, "\n"), r.Commit, r.BuildID, string(r.Strategy),
		r.SHA256, r.Entrypoint, string(r.Manifest), string(warnings), millis(r.PublishedAt), report)
	return err
}
