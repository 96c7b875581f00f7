package store

import (
	"context"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

var _ farm.LinkStore = (*Store)(nil)

const selectRepoLink = `SELECT l.id, l.org_id, o.namespace, l.module_name, l.app_link_id, l.repo, l.farm_user, l.created_at,
	l.repo_number, l.owner_number
	FROM repo_links l JOIN orgs o ON o.id = l.org_id WHERE `

func scanRepoLink(row scanner) (l farm.RepoLink, err error) {
	var namespace string
	var created int64
	err = row.Scan(&l.ID, &l.OrgID, &namespace, &l.Module.Name, &l.AppLinkID, &l.Repo, &l.CreatedBy, &created, &l.Number, &l.OwnerNumber)
	l.Module.Namespace, l.CreatedAt = namespace, fromMillis(created)
	if namespace == "" {
		l.Module.Namespace = l.OrgID
	}
	return l, err
}

// AddRepoLink stores a link, or gives the one that exists, or was removed, another app link. One that a person makes
// again is that person's.
func (s *Store) AddRepoLink(ctx context.Context, l farm.RepoLink) (stored farm.RepoLink, err error) {
	err = s.tx(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO repo_links (id, org_id, module_name, app_link_id, repo, farm_user, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (org_id, module_name, repo) DO UPDATE SET app_link_id = excluded.app_link_id, unlinked_at = 0,
				farm_user = CASE WHEN repo_links.unlinked_at = 0 AND excluded.farm_user = ? THEN repo_links.farm_user ELSE excluded.farm_user END`,
			l.ID, l.OrgID, l.Module.Name, l.AppLinkID, l.Repo, l.CreatedBy, millis(l.CreatedAt), farm.ByGitHub)
		if err != nil {
			return err
		}
		stored, err = t.repoLink(ctx, "l.org_id = ? AND l.module_name = ? AND l.repo = ?", l.OrgID, l.Module.Name, l.Repo)
		return err
	})
	return stored, err
}

// repoLink reads the one link that where names.
func (t *tx) repoLink(ctx context.Context, where string, args ...any) (link farm.RepoLink, err error) {
	found := 0
	err = t.all(ctx, selectRepoLink+where, args, func(row scanner) error {
		found++
		link, err = scanRepoLink(row)
		return err
	})
	if err == nil && found != 1 {
		err = fmt.Errorf("%w: no such repository link", module.ErrNotFound)
	}
	return link, err
}

// PinRepoLink gives a link the numbers of its repository, unless it has some, and returns it.
func (s *Store) PinRepoLink(ctx context.Context, id, number, owner string) (stored farm.RepoLink, err error) {
	err = s.tx(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "UPDATE repo_links SET repo_number = ?, owner_number = ? WHERE id = ? AND repo_number = ''", number, owner, id); err != nil {
			return err
		}
		stored, err = t.repoLink(ctx, "l.id = ?", id)
		return err
	})
	return stored, err
}

// UnpinRepoLink takes the numbers of a link of an organization away.
func (s *Store) UnpinRepoLink(ctx context.Context, orgID, id string) error {
	n, err := s.exec(ctx, "UPDATE repo_links SET repo_number = '', owner_number = '' WHERE id = ? AND org_id = ? AND unlinked_at = 0", id, orgID)
	return oneRow(n, err, "repository link")
}

// RepoLinks lists the links of an organization, or of a repository.
func (s *Store) RepoLinks(ctx context.Context, orgID, repo string) ([]farm.RepoLink, error) {
	where, value := "l.org_id = ?", orgID
	if orgID == "" {
		where, value = "l.repo = ?", repo
	}
	var links []farm.RepoLink
	err := s.all(ctx, selectRepoLink+where+" AND l.unlinked_at = 0 ORDER BY l.module_name, l.repo, l.org_id", []any{value}, func(row scanner) error {
		l, err := scanRepoLink(row)
		if err == nil && (repo == "" || repo == l.Repo) {
			links = append(links, l)
		}
		return err
	})
	return links, err
}

// DeleteRepoLink removes a link of an organization. That it was there is remembered, see Unlinked.
func (s *Store) DeleteRepoLink(ctx context.Context, orgID, id string) error {
	n, err := s.exec(ctx, "UPDATE repo_links SET unlinked_at = ?, app_link_id = '', repo_number = '', owner_number = '' WHERE id = ? AND org_id = ? AND unlinked_at = 0",
		millis(time.Now()), id, orgID)
	return oneRow(n, err, "repository link")
}

// Unlinked says whether somebody removed the link of a module and a repository.
func (s *Store) Unlinked(ctx context.Context, orgID, moduleName, repo string) (bool, error) {
	var n int64
	err := s.one(ctx, "SELECT COUNT(*) FROM repo_links WHERE org_id = ? AND module_name = ? AND repo = ? AND unlinked_at > 0",
		[]any{orgID, moduleName, repo}, &n)
	return n > 0, err
}

// MoveRepoLinks lets the links of a repository follow its new name, except those that are there under it already.
func (s *Store) MoveRepoLinks(ctx context.Context, from, to string) error {
	_, err := s.exec(ctx, `UPDATE repo_links SET repo = ? WHERE repo = ? AND NOT EXISTS (
		SELECT 1 FROM repo_links there WHERE there.org_id = repo_links.org_id AND there.module_name = repo_links.module_name AND there.repo = ?)`, to, from, to)
	return err
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

// SaveAppLink stores a link, or gives the one that exists another owner: those whom the former one let use it lose it,
// and the repository links that the App made by it go.
func (s *Store) SaveAppLink(ctx context.Context, l farm.AppLink) error {
	return s.tx(ctx, func(t *tx) error {
		var others int64
		if err := t.one(ctx, "SELECT COUNT(*) FROM app_links WHERE id = ? AND owner_org <> ?", []any{l.ID, l.OwnerID}, &others); err != nil {
			return err
		}
		if others > 0 {
			if err := t.dropAppLink(ctx, l.ID); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `INSERT INTO app_links (id, owner_org, farm_user, external_user, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET external_user = excluded.external_user`,
			l.ID, l.OwnerID, l.CreatedBy, l.Account, millis(l.CreatedAt))
		for _, org := range l.OrgIDs {
			if err == nil {
				_, err = t.exec(ctx, "INSERT INTO app_link_orgs (link_id, org_id) VALUES (?, ?) ON CONFLICT (link_id, org_id) DO NOTHING", l.ID, org)
			}
		}
		return err
	})
}

// DropAppLink removes a link that is worth nothing any more, and the repository links that the App made by it; those of
// people stay, without it.
func (s *Store) DropAppLink(ctx context.Context, id string) error {
	return s.tx(ctx, func(t *tx) error { return t.dropAppLink(ctx, id) })
}

func (t *tx) dropAppLink(ctx context.Context, id string) error {
	if _, err := t.exec(ctx, "DELETE FROM repo_links WHERE app_link_id = ? AND farm_user = ?", id, farm.ByGitHub); err != nil {
		return err
	}
	for _, query := range []string{
		"UPDATE repo_links SET app_link_id = '' WHERE app_link_id = ?", "DELETE FROM app_link_orgs WHERE link_id = ?", "DELETE FROM app_links WHERE id = ?",
		"UPDATE github_repositories SET linked_org = '' WHERE CAST(installation_id AS TEXT) = ?",
	} {
		if _, err := t.exec(ctx, query, id); err != nil {
			return err
		}
	}
	return nil
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
