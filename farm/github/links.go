package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// permit says whether tags of a repository may build a module, whose owner is an organization: an error says why not.
//
// The organization of the repository's account may; the first time, module and repository are linked by that, and from
// then on the link counts, so that removing it ends the building. Any other organization may when one of its people
// linked the module with the repository, which must be public, or the account's owner lets the organization use the
// installation: a link alone opens nothing.
func (g *GitHub) permit(ctx context.Context, repo Repository, in Installation, m found, id module.ID, owner string) error {
	link, removed, err := g.linkOf(ctx, repo, id, owner)
	if err != nil {
		return err
	}
	const again = "then run 'modfarm github sync --tag TAG %s'"
	switch {
	case removed:
		return fmt.Errorf("%w: the module %s was unlinked from %s; to build it from there, link it again with 'modfarm module link', "+again,
			module.ErrForbidden, id, repo.FullName, repo.FullName)
	case owner == in.OrgID && link == nil:
		return g.link(ctx, repo, in, id)
	case owner == in.OrgID:
		return nil
	case link == nil || link.CreatedBy == farm.ByGitHub: // what the App made counts for the account's organization
		return fmt.Errorf("%w: %s names the module %s, which is not one of the organization that %s belongs to; give it a module of that organization, "+
			"or let the module's owner link it with 'modfarm module link'", module.ErrForbidden, m.file(), id, repo.FullName)
	}
	mine, err := g.Store.Repositories(ctx, RepositoryFilter{ID: repo.ID, OrgID: owner})
	if err == nil && len(mine) == 0 {
		err = fmt.Errorf("%w: the module %s is linked with %s, which is private and of an account of another organization; let that one run 'modfarm github share %s --org NAMESPACE', "+again,
			module.ErrForbidden, id, repo.FullName, in.Account, repo.FullName)
	}
	return err
}

// linkOf is the link of a module and a repository; nil for none. removed says that somebody took it away.
func (g *GitHub) linkOf(ctx context.Context, repo Repository, id module.ID, owner string) (link *farm.RepoLink, removed bool, err error) {
	links, err := g.linksOf(ctx, repo)
	if err != nil {
		return nil, false, err
	}
	i := slices.IndexFunc(links, func(l farm.RepoLink) bool { return l.OrgID == owner && l.Module.Name == id.Name })
	if i >= 0 {
		return &links[i], false, nil
	}
	address, err := farm.NormalRepo(repo.CloneURL)
	if err != nil {
		return nil, false, err
	}
	removed, err = g.Store.Unlinked(ctx, owner, id.Name, address)
	return nil, removed, err
}

// linksOf are a repository's links, of all organizations.
func (g *GitHub) linksOf(ctx context.Context, repo Repository) ([]farm.RepoLink, error) {
	address, err := farm.NormalRepo(repo.CloneURL)
	if err != nil {
		return nil, err
	}
	return g.Store.RepoLinks(ctx, "", address)
}

// link links a module with a repository of its organization's account.
func (g *GitHub) link(ctx context.Context, repo Repository, in Installation, id module.ID) error {
	links := farm.Links{Store: g.Store, Now: g.Now}
	_, err := links.LinkRepo(ctx, farm.RepoLink{
		OrgID: in.OrgID, Module: id, AppLinkID: appLinkID(in.ID), Repo: repo.CloneURL, CreatedBy: farm.ByGitHub,
	})
	if err == nil {
		g.Log.InfoContext(ctx, "github repository linked", "repository", repo.FullName, "module", id.String())
	}
	return err
}

func appLinkID(installation int64) string { return strconv.FormatInt(installation, 10) }

// linkModules links the modules that the repository's meta.json files name and that its account's organization has. It
// is done once for each repository and organization; modules that are made later are linked by their first tag.
func (g *GitHub) linkModules(ctx context.Context, repo *Repository, in Installation) error {
	if in.OrgID == "" || repo.LinkedOrg == in.OrgID {
		return nil
	}
	list, err := g.modulesAt(ctx, *repo, "HEAD")
	if status := statusOf(err); err != nil && status != http.StatusConflict && status != http.StatusNotFound { // 409: it is empty
		return err
	}
	for _, m := range list {
		if m.problem != "" {
			continue
		}
		id, owner, err := g.Modules.Lookup(ctx, m.id)
		if errors.Is(err, module.ErrNotFound) || err == nil && owner != in.OrgID {
			continue
		}
		if err != nil {
			return err
		}
		link, removed, err := g.linkOf(ctx, *repo, id, owner)
		if err == nil && link == nil && !removed {
			err = g.link(ctx, *repo, in, id)
		}
		if err != nil {
			return err
		}
	}
	repo.LinkedOrg = in.OrgID
	return nil
}

// moveLinks lets the links of a repository follow a new name of it, or of its account. A repository that was given to
// another account leaves them behind: its new owner publishes nothing of the old one's.
func (g *GitHub) moveLinks(ctx context.Context, before, now Repository) error {
	if before.CloneURL == now.CloneURL || before.InstallationID != now.InstallationID {
		return nil
	}
	from, err := farm.NormalRepo(before.CloneURL)
	if err != nil {
		return err
	}
	to, err := farm.NormalRepo(now.CloneURL)
	if err != nil {
		return err
	}
	return g.Store.MoveRepoLinks(ctx, from, to)
}

// shareWithOwner makes the app link of an installation: what its organization shares with others, and may take back.
func (g *GitHub) shareWithOwner(ctx context.Context, in Installation) error {
	if in.OrgID == "" {
		return nil
	}
	return g.Store.SaveAppLink(ctx, farm.AppLink{
		ID: appLinkID(in.ID), OwnerID: in.OrgID, CreatedBy: farm.ByGitHub, Account: in.Account, OrgIDs: []string{in.OrgID}, CreatedAt: g.now(),
	})
}

// Linked lists the modules that a repository builds for an organization, by name.
func (g *GitHub) Linked(ctx context.Context, orgID string, repo Repository) ([]module.ID, error) {
	links, err := g.linksOf(ctx, repo)
	var ids []module.ID
	for _, l := range links {
		if l.OrgID == orgID {
			ids = append(ids, l.Module)
		}
	}
	return ids, err
}
