package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

// Remove runs plan on all that a module holds and stores its outcome. It holds the module's row, as Publish does.
func (s *Store) Remove(ctx context.Context, key string, usedSince time.Time, plan func(registry.Holdings) (registry.Removal, error)) error {
	return s.tx(ctx, func(t *tx) error {
		held, err := t.holdings(ctx, key, usedSince)
		if err != nil {
			return err
		}
		removal, err := plan(held)
		if err != nil {
			return err
		}
		return t.remove(ctx, key, removal)
	})
}

func (t *tx) holdings(ctx context.Context, key string, usedSince time.Time) (h registry.Holdings, err error) {
	if h.Module, err = t.lockModule(ctx, key); err != nil {
		return h, err
	}
	if h.Releases, err = selectReleases(ctx, t, key, module.Version{}); err != nil {
		return h, err
	}
	if h.Uses, err = t.uses(ctx, key, usedSince); err != nil {
		return h, err
	}
	h.Builds, err = t.activeBuilds(ctx, h.Module)
	return h, err
}

// activeBuilds lists the builds of a module that have not ended, under each of the ids that it may have had.
func (t *tx) activeBuilds(ctx context.Context, m registry.Module) ([]registry.ActiveBuild, error) {
	var builds []registry.ActiveBuild
	err := t.all(ctx, "SELECT id, version FROM builds WHERE module_id IN (?, ?) AND ended_at = 0",
		[]any{m.ID().String(), m.OrgID + ":" + m.Name}, func(row scanner) error {
			var b registry.ActiveBuild
			var version string
			if err := row.Scan(&b.ID, &version); err != nil {
				return err
			}
			builds = append(builds, b)
			return builds[len(builds)-1].Version.UnmarshalText([]byte(version))
		})
	return builds, err
}

func (t *tx) remove(ctx context.Context, key string, r registry.Removal) error {
	for _, rel := range r.Releases {
		tags := strings.Join(rel.Tags, "\n")
		if _, err := t.exec(ctx, "DELETE FROM releases WHERE module_key = ? AND version = ? AND platform = ? AND tags = ?",
			key, rel.Version.String(), rel.Platform.String(), tags); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO deleted_releases (module_key, version, platform, tags, sha256, deleted_at, deleted_by)
			VALUES (?, ?, ?, ?, ?, ?, ?)`, key, rel.Version.String(), rel.Platform.String(), tags, rel.SHA256, millis(r.At), r.By); err != nil {
			return err
		}
	}
	for _, v := range r.Versions {
		if _, err := t.exec(ctx, "UPDATE versions SET deleted_at = ?, deleted_by = ? WHERE module_key = ? AND version = ? AND deleted_at = 0",
			millis(r.At), r.By, key, v.String()); err != nil {
			return err
		}
	}
	if r.Module {
		if _, err := t.exec(ctx, "UPDATE modules SET deleted_at = ?, deleted_by = ? WHERE module_key = ?", millis(r.At), r.By, key); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM module_words WHERE module_key = ?", key); err != nil {
			return err
		}
	}
	return t.putEvents(ctx, key, r.Event)
}

// PutUse stores when a key fetched an upload last.
func (s *Store) PutUse(ctx context.Context, key string, u registry.Use) error {
	_, err := s.exec(ctx, `INSERT INTO uses (module_key, version, platform, org_id, key_id, machine, last_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (module_key, key_id, version, platform) DO UPDATE SET org_id = excluded.org_id, machine = excluded.machine, last_at = excluded.last_at`,
		key, u.Version.String(), u.Platform.String(), u.OrgID, u.KeyID, flag(u.Machine), millis(u.At))
	return err
}

// uses lists who fetched what of a module since a time, with the names of the keys that still exist.
func (t *tx) uses(ctx context.Context, key string, since time.Time) ([]registry.Use, error) {
	var uses []registry.Use
	err := t.all(ctx, `SELECT u.version, u.platform, u.org_id, u.key_id, COALESCE(k.name, ''), u.machine, u.last_at
		FROM uses u LEFT JOIN api_keys k ON k.id = u.key_id WHERE u.module_key = ? AND u.last_at >= ?`,
		[]any{key, millis(since)}, func(row scanner) error {
			var u registry.Use
			var version, platform string
			var machine, at int64
			if err := row.Scan(&version, &platform, &u.OrgID, &u.KeyID, &u.KeyName, &machine, &at); err != nil {
				return err
			}
			u.Machine, u.At = machine != 0, fromMillis(at)
			uses = append(uses, u)
			last := &uses[len(uses)-1]
			return errors.Join(last.Version.UnmarshalText([]byte(version)), last.Platform.UnmarshalText([]byte(platform)))
		})
	return uses, err
}

// Usage counts who fetched something of each module since a time.
func (s *Store) Usage(ctx context.Context, keys []string, since time.Time) (map[string]registry.Usage, error) {
	usage := map[string]registry.Usage{}
	for part := range slices.Chunk(keys, chunk) {
		if err := s.usage(ctx, part, since, usage); err != nil {
			return nil, err
		}
	}
	return usage, nil
}

func (s *Store) usage(ctx context.Context, keys []string, since time.Time, usage map[string]registry.Usage) error {
	return s.all(ctx, `SELECT u.module_key,
			COUNT(DISTINCT CASE WHEN u.machine = 1 THEN u.key_id END),
			COUNT(DISTINCT CASE WHEN u.machine = 1 AND u.org_id <> m.org_id THEN u.key_id END),
			COUNT(DISTINCT u.org_id), COUNT(DISTINCT CASE WHEN u.org_id <> m.org_id THEN u.org_id END)
		FROM uses u JOIN modules m ON m.module_key = u.module_key
		WHERE u.module_key IN `+list(len(keys))+` AND u.last_at >= ? GROUP BY u.module_key`,
		append(anys(keys), millis(since)), func(row scanner) error {
			var key string
			var u registry.Usage
			if err := row.Scan(&key, &u.Machines, &u.OtherMachines, &u.Orgs, &u.OtherOrgs); err != nil {
				return err
			}
			usage[key] = u
			return nil
		})
}

func (t *tx) putEvents(ctx context.Context, key string, events ...registry.Event) error {
	for _, e := range events {
		if _, err := t.exec(ctx, "INSERT INTO module_events (id, module_key, at, actor, action, version, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
			e.ID, key, millis(e.At), e.Actor, string(e.Action), e.Version.String(), e.Detail); err != nil {
			return err
		}
	}
	return nil
}

// Events returns the newest events of a module.
func (s *Store) Events(ctx context.Context, key string, limit int) ([]registry.Event, error) {
	var events []registry.Event
	err := s.all(ctx, "SELECT id, at, actor, action, version, detail FROM module_events WHERE module_key = ? ORDER BY at DESC, id DESC LIMIT ?",
		[]any{key, limit}, func(row scanner) error {
			var e registry.Event
			var at int64
			var version string
			if err := row.Scan(&e.ID, &at, &e.Actor, &e.Action, &version, &e.Detail); err != nil {
				return err
			}
			e.At = fromMillis(at)
			if err := e.Version.UnmarshalText([]byte(version)); err != nil {
				return fmt.Errorf("stored event: %w", err)
			}
			events = append(events, e)
			return nil
		})
	return events, err
}

// list is "(?, ?, …)" for n values.
func list(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")" }

// anys makes arguments of strings.
func anys[S ~string](values []S) []any {
	args := make([]any, 0, len(values))
	for _, v := range values {
		args = append(args, string(v))
	}
	return args
}
