package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/github"
)

// App returns the GitHub App, sealed.
func (s *Store) App(ctx context.Context) (github.SealedApp, error) {
	var a github.SealedApp
	var public string
	if err := s.one(ctx, "SELECT public, secrets FROM github_app", nil, &public, &a.Secrets); err != nil {
		return github.SealedApp{}, err
	}
	if err := json.Unmarshal([]byte(public), &a.Public); err != nil {
		return github.SealedApp{}, fmt.Errorf("stored GitHub App: %w", err)
	}
	return a, nil
}

// SaveApp replaces the GitHub App.
func (s *Store) SaveApp(ctx context.Context, a github.SealedApp) error {
	public, err := json.Marshal(a.Public)
	if err != nil {
		return fmt.Errorf("the GitHub App: %w", err)
	}
	_, err = s.exec(ctx, `INSERT INTO github_app (id, public, secrets) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET public = excluded.public, secrets = excluded.secrets`, string(public), a.Secrets)
	return err
}

// AddDeliveries stores those whose GUID is new, in one transaction.
func (s *Store) AddDeliveries(ctx context.Context, list []github.Delivery) error {
	return s.tx(ctx, func(t *tx) error {
		for _, d := range list {
			_, err := t.exec(ctx, `INSERT INTO github_deliveries (guid, event, action, payload, received_at, tries, next_at, done_at, outcome)
				VALUES (?, ?, ?, ?, ?, 0, ?, 0, '') ON CONFLICT (guid) DO NOTHING`,
				d.GUID, d.Event, d.Action, d.Payload, millis(d.ReceivedAt), millis(d.NextAt))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

const deliveryColumns = "guid, event, action, received_at, tries, next_at, done_at, outcome"

func scanDelivery(row scanner, more ...any) (github.Delivery, error) {
	var d github.Delivery
	var received, next, done int64
	err := row.Scan(append([]any{&d.GUID, &d.Event, &d.Action, &received, &d.Tries, &next, &done, &d.Outcome}, more...)...)
	d.ReceivedAt, d.NextAt, d.DoneAt = fromMillis(received), fromMillis(next), fromMillis(done)
	return d, err
}

// DueDeliveries returns those to act on, the oldest first.
func (s *Store) DueDeliveries(ctx context.Context, now time.Time, limit int) (list []github.Delivery, err error) {
	err = s.all(ctx, "SELECT "+deliveryColumns+", payload FROM github_deliveries WHERE done_at = 0 AND next_at <= ? ORDER BY next_at, received_at LIMIT ?",
		[]any{millis(now), limit}, func(row scanner) error {
			var payload []byte
			d, err := scanDelivery(row, &payload)
			d.Payload = payload
			list = append(list, d)
			return err
		})
	return list, err
}

// SaveDelivery stores how acting on a delivery went, and drops the payload of one that is done.
func (s *Store) SaveDelivery(ctx context.Context, d github.Delivery) error {
	query := "UPDATE github_deliveries SET tries = ?, next_at = ?, done_at = ?, outcome = ?"
	if !d.DoneAt.IsZero() {
		query += ", payload = NULL"
	}
	_, err := s.exec(ctx, query+" WHERE guid = ?", d.Tries, millis(d.NextAt), millis(d.DoneAt), d.Outcome, d.GUID)
	return err
}

// Deliveries returns those with these GUIDs, or the newest for none, without payloads.
func (s *Store) Deliveries(ctx context.Context, guids []string, limit int) (list []github.Delivery, err error) {
	query, args := "SELECT "+deliveryColumns+" FROM github_deliveries", []any{}
	if len(guids) > 0 {
		query += " WHERE guid IN (?" + strings.Repeat(", ?", len(guids)-1) + ")"
		for _, guid := range guids {
			args = append(args, guid)
		}
	}
	err = s.all(ctx, query+" ORDER BY received_at DESC, guid LIMIT ?", append(args, limit), func(row scanner) error {
		d, err := scanDelivery(row)
		list = append(list, d)
		return err
	})
	return list, err
}

// SaveInstallation stores an installation; an empty OrgID leaves the stored one.
func (s *Store) SaveInstallation(ctx context.Context, in github.Installation) error {
	_, err := s.exec(ctx, `INSERT INTO github_installations (id, account, org_id, removed, updated_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET account = excluded.account, removed = excluded.removed, updated_at = excluded.updated_at,
			org_id = CASE WHEN excluded.org_id = '' THEN github_installations.org_id ELSE excluded.org_id END`,
		in.ID, in.Account, in.OrgID, flag(in.Removed), millis(in.UpdatedAt))
	return err
}

// Installations returns one by its id, or all for zero.
func (s *Store) Installations(ctx context.Context, id int64) (list []github.Installation, err error) {
	query, args := "SELECT id, account, org_id, removed, updated_at FROM github_installations", []any{}
	if id != 0 {
		query, args = query+" WHERE id = ?", []any{id}
	}
	err = s.all(ctx, query+" ORDER BY account, id", args, func(row scanner) error {
		var in github.Installation
		var removed int
		var updated int64
		err := row.Scan(&in.ID, &in.Account, &in.OrgID, &removed, &updated)
		in.Removed, in.UpdatedAt = removed != 0, fromMillis(updated)
		list = append(list, in)
		return err
	})
	return list, err
}

// SaveRepositories stores repositories by their ids; times that are zero leave the stored ones.
func (s *Store) SaveRepositories(ctx context.Context, list []github.Repository) error {
	return s.tx(ctx, func(t *tx) error {
		for _, r := range list {
			_, err := t.exec(ctx, `INSERT INTO github_repositories (id, installation_id, full_name, clone_url, private, removed, baseline_at, swept_at, linked_org)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (id) DO UPDATE SET installation_id = excluded.installation_id, full_name = excluded.full_name,
					clone_url = excluded.clone_url, private = excluded.private, removed = excluded.removed,
					baseline_at = CASE WHEN excluded.baseline_at = 0 THEN github_repositories.baseline_at ELSE excluded.baseline_at END,
					swept_at = CASE WHEN excluded.swept_at = 0 THEN github_repositories.swept_at ELSE excluded.swept_at END,
					linked_org = CASE WHEN excluded.linked_org = '' THEN github_repositories.linked_org ELSE excluded.linked_org END`,
				r.ID, r.InstallationID, r.FullName, r.CloneURL, flag(r.Private), flag(r.Removed), millis(r.BaselineAt), millis(r.SweptAt), r.LinkedOrg)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ofOrg are the repositories that an organization may build: those of its accounts; and those that one of its modules is
// linked with, when they are public, or their account's owner lets the organization use the installation.
const ofOrg = `(i.org_id = ? OR EXISTS (SELECT 1 FROM repo_links l WHERE l.org_id = ? AND l.unlinked_at = 0 AND l.repo || '.git' = lower(r.clone_url)
	AND l.farm_user <> '` + farm.ByGitHub + `' AND (r.private = 0 OR EXISTS (SELECT 1 FROM app_link_orgs a WHERE a.link_id = CAST(i.id AS TEXT) AND a.org_id = ?))))`

// Repositories returns those that match, by name.
func (s *Store) Repositories(ctx context.Context, f github.RepositoryFilter) (list []github.Repository, err error) {
	w := where{}
	if f.ID != 0 {
		w.and("r.id = ?", f.ID)
	}
	if f.InstallationID != 0 {
		w.and("r.installation_id = ?", f.InstallationID)
	}
	if f.FullName != "" {
		w.and("lower(r.full_name) = lower(?)", f.FullName)
	}
	if f.OrgID != "" {
		w.and(ofOrg, f.OrgID, f.OrgID, f.OrgID)
	}
	err = s.all(ctx, `SELECT r.id, r.installation_id, r.full_name, r.clone_url, r.private, r.removed, r.baseline_at, r.swept_at, r.linked_org
		FROM github_repositories r JOIN github_installations i ON i.id = r.installation_id`+w.clause()+" ORDER BY r.full_name, r.id", w.args, func(row scanner) error {
		var r github.Repository
		var private, removed int
		var baseline, swept int64
		err := row.Scan(&r.ID, &r.InstallationID, &r.FullName, &r.CloneURL, &private, &removed, &baseline, &swept, &r.LinkedOrg)
		r.Private, r.Removed, r.BaselineAt, r.SweptAt = private != 0, removed != 0, fromMillis(baseline), fromMillis(swept)
		list = append(list, r)
		return err
	})
	return list, err
}

// clause is the WHERE of a query; nothing when there are no conditions.
func (w *where) clause() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + w.text()
}
