package farm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Claimant is a repository as its code host vouches for it.
type Claimant struct {
	// Repo is its https address.
	Repo string
	// Number and OwnerNumber are the host's numbers of it and of its owner.
	Number, OwnerNumber string
	// OrgID narrows to the links of one organization; empty for those of all.
	OrgID string
}

// Trusted returns the links of one organization by which a repository speaks for modules. The first time it gives them
// the host's numbers; links that have others are of another repository of that name. A repository that is not linked,
// or not this one, is module.ErrForbidden; one that several organizations have linked is module.ErrInvalid.
func (l *Links) Trusted(ctx context.Context, who Claimant) ([]RepoLink, error) {
	repo, err := NormalRepo(who.Repo)
	if err != nil {
		return nil, err
	}
	links, err := l.Store.RepoLinks(ctx, "", repo)
	if err != nil {
		return nil, err
	}
	links = slices.DeleteFunc(links, func(link RepoLink) bool { return who.OrgID != "" && link.OrgID != who.OrgID })
	if len(links) == 0 {
		return nil, fmt.Errorf("%w: repository %s is not linked to a module here: an owner of the module's organization links it with 'modfarm module link NAMESPACE:NAME %s'",
			module.ErrForbidden, repo, repo)
	}
	for _, link := range links {
		if link.OrgID != links[0].OrgID {
			return nil, module.Fault{
				Path: "organization", Problem: "missing, and more than one organization has linked " + repo,
				Advice: "name the one to act for, by its namespace",
			}
		}
	}
	return l.pinned(ctx, links, who)
}

// pinned gives links without numbers those of the claimant, and leaves out what is of another repository.
func (l *Links) pinned(ctx context.Context, links []RepoLink, who Claimant) (good []RepoLink, err error) {
	var refused error
	for _, link := range links {
		if link.Number == "" {
			link, err = l.Store.PinRepoLink(ctx, link.ID, who.Number, who.OwnerNumber)
			if errors.Is(err, module.ErrNotFound) { // unlinked meanwhile
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		if err := link.fits(who); err != nil {
			refused = err
			continue
		}
		good = append(good, link)
	}
	if len(good) == 0 && refused == nil {
		refused = fmt.Errorf("%w: repository %s was unlinked just now", module.ErrForbidden, who.Repo)
	}
	if len(good) == 0 {
		return nil, refused
	}
	return good, nil
}

// fits says whether the claimant is the repository that the link was first used by.
func (r RepoLink) fits(who Claimant) error {
	claim, was, is := "repository_id", r.Number, who.Number
	if was == is {
		claim, was, is = "repository_owner_id", r.OwnerNumber, who.OwnerNumber
	}
	if was == is {
		return nil
	}
	return fmt.Errorf("%w: the claim %s is %q, but %s was linked when it was %q: the repository was made anew or changed its owner. When that is meant, an owner runs 'modfarm module link --renew %s %s'",
		module.ErrForbidden, claim, is, r.Repo, was, r.Module, r.Repo)
}

// Link links a module of an organization with a repository. The same again is the same link, and keeps its app link.
func (l *Links) Link(ctx context.Context, link RepoLink) (RepoLink, error) {
	repo, err := NormalRepo(link.Repo)
	if err != nil {
		return RepoLink{}, err
	}
	known, err := l.linked(ctx, link.OrgID, link.Module, repo)
	if err == nil || !errors.Is(err, module.ErrNotFound) {
		return known, err
	}
	return l.LinkRepo(ctx, link)
}

// linked is the link of a module of an organization with a repository.
func (l *Links) linked(ctx context.Context, orgID string, id module.ID, repo string) (RepoLink, error) {
	links, err := l.Store.RepoLinks(ctx, orgID, "")
	if err != nil {
		return RepoLink{}, err
	}
	for _, link := range links {
		if link.Repo == repo && strings.EqualFold(link.Module.Name, id.Name) {
			return link, nil
		}
	}
	return RepoLink{}, fmt.Errorf("%w: %s is not linked with %s; 'modfarm module links' lists what is", module.ErrNotFound, id, repo)
}

// Renew forgets the numbers of the link of a module of an organization with a repository, so that the next workflow run
// sets them. What is not linked is module.ErrNotFound.
func (l *Links) Renew(ctx context.Context, orgID string, id module.ID, repo string) (RepoLink, error) {
	repo, err := NormalRepo(repo)
	if err != nil {
		return RepoLink{}, err
	}
	link, err := l.linked(ctx, orgID, id, repo)
	if errors.Is(err, module.ErrNotFound) {
		return link, fmt.Errorf("%w; leave out --renew to link them", err)
	}
	if err == nil && link.Number != "" {
		err = l.Store.UnpinRepoLink(ctx, orgID, link.ID)
		link.Number, link.OwnerNumber = "", ""
	}
	return link, err
}

// Unlink removes the link of a module of an organization with a repository.
func (l *Links) Unlink(ctx context.Context, orgID string, id module.ID, repo string) error {
	repo, err := NormalRepo(repo)
	if err != nil {
		return err
	}
	link, err := l.linked(ctx, orgID, id, repo)
	if err != nil {
		return err
	}
	return l.Store.DeleteRepoLink(ctx, orgID, link.ID)
}
