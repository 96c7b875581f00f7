package store

import (
	"context"
	"fmt"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

var _ farm.LinkStore = (*Store)(nil)

const selectRepoLink = `SELECT l.id, l.org_id, o.namespace, l.module_name, l.app_link_id, l.repo, l.farm_user, l.created_at
	FROM repo_links l JOIN orgs o ON o.id = l.org_id WHERE `

func scanRepoLink(row scanner) (l farm.RepoLink, err error) {
	var namespace string
	var created int64
	err = row.Scan(&l.ID, &l.OrgID, &namespace, &l.Module.Name, &l.AppLinkID, &l.Repo, &l.CreatedBy, &created)
	l.Module.Namespace, l.CreatedAt = namespace, fromMillis(created)
	if namespace == "" {
		l.Module.Namespace = l.OrgID
	}
	return l, err
}

// AddRepoLink stores a link, or gives the one that exists another app link.
func (s *Store) AddRepoLink(ctx context.Context, l farm.RepoLink) (stored farm.RepoLink, err error) {
	err = s.tx(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO repo_links (id, org_id, module_name, app_link_id, repo, farm_user, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (org_id, module_name, repo) DO UPDATE SET app_link_id = excluded.app_link_id`,
			l.ID, l.OrgID, l.Module.Name, l.AppLinkID, l.Repo, l.CreatedBy, millis(l.CreatedAt))
		if err != nil {
			return err
		}
		found := 0
		err = t.all(ctx, selectRepoLink+"l.org_id = ? AND l.module_name = ? AND l.repo = ?", []any{l.OrgID, l.Module.Name, l.Repo}, func(row scanner) error {
			found++
			stored, err = scanRepoLink(row)
			return err
		})
		if err == nil && found != 1 {
			err = fmt.Errorf("%w: the link that was just stored", module.ErrNotFound)
		}
		return err
	})
	return stored, err
}

// RepoLinks lists the links of an organization, or of a repository.
func (s *Store) RepoLinks(ctx context.Context, orgID, repo string) ([]farm.RepoLink, error) {
	where, value := "l.org_id = ?", orgID
	if orgID == "" {
		where, value = "l.repo = ?", repo
	}
	var links []farm.RepoLink
	err := s.all(ctx, selectRepoLink+where+" ORDER BY l.module_name, l.repo, l.org_id", []any{value}, func(row scanner) error {
		l, err := scanRepoLink(row)
		if err == nil && (repo == "" || repo == l.Repo) {
			links = append(links, l)
		}
		return err
	})
	return links, err
}

// DeleteRepoLink removes a link of an organization.
func (s *Store) DeleteRepoLink(ctx context.Context, orgID, id string) error {
	n, err := s.exec(ctx, "DELETE FROM repo_links WHERE id = ? AND org_id = ?", id, orgID)
	return oneRow(n, err, "repository link")
}

func oneRow(n int64, err error, what string) error {
	if err == nil && n == 0 {
		return fmt.Errorf("%w: no such %s", module.ErrNotFound, what)
	}
	return err
}

// AddAppLink stores a link and who may use it.
func (s *Store) AddAppLink(ctx context.Context, l farm.AppLink) error {
	return s.tx(ctx, func(t *tx) error {
		_, err := t.exec(ctx, "INSERT INTO app_links (id, owner_org, farm_user, external_user, created_at) VALUES (?, ?, ?, ?, ?)",
			l.ID, l.OwnerID, l.CreatedBy, l.Account, millis(l.CreatedAt))
		for _, org := range l.OrgIDs {
			if err == nil {
				_, err = t.exec(ctx, "INSERT INTO app_link_orgs (link_id, org_id) VALUES (?, ?)", l.ID, org)
			}
		}
		return err
	})
}

// AppLink returns one link.
func (s *Store) AppLink(ctx context.Context, id string) (farm.AppLink, error) {
	links, err := s.appLinks(ctx, "a.id = ?", id)
	if err == nil && len(links) == 0 {
		err = fmt.Errorf("%w: no such app link", module.ErrNotFound)
	}
	if err != nil {
		return farm.AppLink{}, err
	}
	return links[0], nil
}

// AppLinks lists what an organization may use.
func (s *Store) AppLinks(ctx context.Context, orgID string) ([]farm.AppLink, error) {
	return s.appLinks(ctx, "a.id IN (SELECT link_id FROM app_link_orgs WHERE org_id = ?)", orgID)
}

// appLinks reads links with who may use them, the oldest first.
func (s *Store) appLinks(ctx context.Context, where, value string) (links []farm.AppLink, err error) {
	err = s.all(ctx, `SELECT a.id, a.owner_org, a.farm_user, a.external_user, a.created_at, o.org_id FROM app_links a
		JOIN app_link_orgs o ON o.link_id = a.id WHERE `+where+` ORDER BY a.created_at, a.id, o.org_id`, []any{value}, func(row scanner) error {
		var l farm.AppLink
		var org string
		var created int64
		if err := row.Scan(&l.ID, &l.OwnerID, &l.CreatedBy, &l.Account, &created, &org); err != nil {
			return err
		}
		if n := len(links); n == 0 || links[n-1].ID != l.ID {
			l.CreatedAt = fromMillis(created)
			links = append(links, l)
		}
		last := &links[len(links)-1]
		last.OrgIDs = append(last.OrgIDs, org)
		return nil
	})
	return links, err
}

// DeleteAppLink removes a link that no repository link names.
func (s *Store) DeleteAppLink(ctx context.Context, id string) error {
	return s.tx(ctx, func(t *tx) error {
		if err := t.unnamed(ctx, id, ""); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM app_link_orgs WHERE link_id = ?", id); err != nil {
			return err
		}
		n, err := t.exec(ctx, "DELETE FROM app_links WHERE id = ?", id)
		return oneRow(n, err, "app link")
	})
}

// ShareAppLink lets an organization use a link.
func (s *Store) ShareAppLink(ctx context.Context, id, orgID string) error {
	_, err := s.exec(ctx, "INSERT INTO app_link_orgs (link_id, org_id) VALUES (?, ?) ON CONFLICT (link_id, org_id) DO NOTHING", id, orgID)
	return err
}

// UnshareAppLink ends that, unless repository links of the organization name it.
func (s *Store) UnshareAppLink(ctx context.Context, id, orgID string) error {
	return s.tx(ctx, func(t *tx) error {
		if err := t.unnamed(ctx, id, orgID); err != nil {
			return err
		}
		n, err := t.exec(ctx, "DELETE FROM app_link_orgs WHERE link_id = ? AND org_id = ?", id, orgID)
		return oneRow(n, err, "use of an app link")
	})
}

// unnamed fails when repository links, of an organization or with an empty orgID of any, name an app link.
func (t *tx) unnamed(ctx context.Context, id, orgID string) error {
	var n int64
	err := t.one(ctx, "SELECT COUNT(*) FROM repo_links WHERE app_link_id = ? AND (org_id = ? OR ? = '')", []any{id, orgID, orgID}, &n)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: %d repository links name it", module.ErrConflict, n)
	}
	return err
}
