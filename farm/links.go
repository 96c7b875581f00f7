package farm

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

// AppLink is an account of a code host that installed the farm's app there, and the organizations that may build from
// its repositories.
type AppLink struct {
	// ID is what the installation is known by.
	ID string
	// OwnerID is the organization that made the link, and alone may share and remove it.
	OwnerID string
	// CreatedBy names who made it here, Account the account on the code host.
	CreatedBy, Account string
	// OrgIDs may use it; the owner is one of them.
	OrgIDs []string
	// CreatedAt is when it was made.
	CreatedAt time.Time
}

// ByGitHub is the CreatedBy of links that the GitHub App made by itself.
const ByGitHub = "github"

// RepoLink says which repository a module is built from when a tag is pushed there.
type RepoLink struct {
	// ID is a UUID.
	ID string
	// OrgID owns the module.
	OrgID string
	// Module is what is built.
	Module module.ID
	// AppLinkID is the AppLink by which the repository is read; empty for a public repository.
	AppLinkID string
	// Repo is the https address of the repository, in lower case and without ".git".
	Repo string
	// Number and OwnerNumber are the code host's numbers of the repository and its owner, as the first workflow run that
	// was trusted for the link told them; empty until then.
	Number, OwnerNumber string
	// CreatedBy names who made it.
	CreatedBy string
	// CreatedAt is when it was made.
	CreatedAt time.Time
}

// LinkStore keeps links. Missing rows are module.ErrNotFound.
type LinkStore interface {
	// AddRepoLink stores l, or returns the link of the same module and repository after giving it l's AppLinkID.
	AddRepoLink(ctx context.Context, l RepoLink) (RepoLink, error)
	// RepoLinks lists the links of an organization, or with an empty orgID those of a repository, by module and repository.
	RepoLinks(ctx context.Context, orgID, repo string) ([]RepoLink, error)
	// PinRepoLink gives a link its numbers unless it has some, and returns it.
	PinRepoLink(ctx context.Context, id, number, owner string) (RepoLink, error)
	// UnpinRepoLink takes the numbers of a link of an organization away.
	UnpinRepoLink(ctx context.Context, orgID, id string) error
	// DeleteRepoLink removes a link of an organization. The GitHub App does not make it again by itself.
	DeleteRepoLink(ctx context.Context, orgID, id string) error
	// AddAppLink stores l with its OrgIDs.
	AddAppLink(ctx context.Context, l AppLink) error
	// AppLink returns one link.
	AppLink(ctx context.Context, id string) (AppLink, error)
	// AppLinks lists what an organization may use.
	AppLinks(ctx context.Context, orgID string) ([]AppLink, error)
	// DeleteAppLink removes a link. One that a repository link names is module.ErrConflict.
	DeleteAppLink(ctx context.Context, id string) error
	// ShareAppLink lets another organization use a link; that it may already is no error.
	ShareAppLink(ctx context.Context, id, orgID string) error
	// UnshareAppLink ends that. A repository link of that organization that names it is module.ErrConflict.
	UnshareAppLink(ctx context.Context, id, orgID string) error
}

// Links keeps what is built when something is pushed. It checks what is asked for; who asks is the caller's business.
type Links struct {
	// Store keeps the rows.
	Store LinkStore
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (l *Links) now() time.Time {
	if l.Now != nil {
		return l.Now().UTC()
	}
	return time.Now().UTC()
}

// LinkRepo links a module of an organization with a repository and returns the link. The same again is the same link. An
// app link that the organization may not use is module.ErrNotFound.
func (l *Links) LinkRepo(ctx context.Context, link RepoLink) (RepoLink, error) {
	repo, err := NormalRepo(link.Repo)
	if err != nil {
		return RepoLink{}, err
	}
	if link.AppLinkID != "" {
		if _, err := l.usable(ctx, link.AppLinkID, link.OrgID); err != nil {
			return RepoLink{}, err
		}
	}
	link.ID, link.Repo, link.CreatedAt = uuid.NewString(), repo, l.now()
	return l.Store.AddRepoLink(ctx, link)
}

// UnlinkRepo removes a link of an organization.
func (l *Links) UnlinkRepo(ctx context.Context, orgID, id string) error {
	err := l.Store.DeleteRepoLink(ctx, orgID, id)
	if errors.Is(err, module.ErrNotFound) {
		return fmt.Errorf("%w: no repository is linked as %q; link it again to see its id", module.ErrNotFound, id)
	}
	return err
}

// usable returns an app link that an organization may use; any other is not found.
func (l *Links) usable(ctx context.Context, id, orgID string) (AppLink, error) {
	link, err := l.Store.AppLink(ctx, id)
	if err != nil && !errors.Is(err, module.ErrNotFound) {
		return AppLink{}, err
	}
	if slices.Contains(link.OrgIDs, orgID) {
		return link, nil
	}
	return AppLink{}, fmt.Errorf("%w: your organization has no app link %q; install the farm's app on the code host, and list the app links", module.ErrNotFound, id)
}

// owned returns an app link that belongs to an organization.
func (l *Links) owned(ctx context.Context, id, orgID string) (AppLink, error) {
	link, err := l.usable(ctx, id, orgID)
	if err == nil && link.OwnerID != orgID {
		err = fmt.Errorf("%w: app link %s belongs to the organization %s; ask its owner", module.ErrForbidden, id, link.OwnerID)
	}
	return link, err
}

// RemoveAppLink removes an app link of an organization. While a repository is read by it, it is module.ErrConflict.
func (l *Links) RemoveAppLink(ctx context.Context, orgID, id string) error {
	if _, err := l.owned(ctx, id, orgID); err != nil {
		return err
	}
	return inUse(l.Store.DeleteAppLink(ctx, id), id)
}

// LinkOrg lets another organization use an app link.
func (l *Links) LinkOrg(ctx context.Context, ownerID, id, orgID string) error {
	if _, err := l.owned(ctx, id, ownerID); err != nil {
		return err
	}
	return l.Store.ShareAppLink(ctx, id, orgID)
}

// UnlinkOrg ends that: by the owner of the app link, or by the organization itself. The owner never loses its own.
func (l *Links) UnlinkOrg(ctx context.Context, callerID, id, orgID string) error {
	find := l.owned
	if callerID == orgID {
		find = l.usable
	}
	link, err := find(ctx, id, callerID)
	if err != nil {
		return err
	}
	if link.OwnerID == orgID {
		return fmt.Errorf("%w: app link %s belongs to this organization; remove the app link itself", module.ErrConflict, id)
	}
	return inUse(l.Store.UnshareAppLink(ctx, id, orgID), id)
}

func inUse(err error, id string) error {
	if errors.Is(err, module.ErrConflict) {
		return fmt.Errorf("%w: repositories are linked by app link %s; unlink them first", module.ErrConflict, id)
	}
	return err
}

// NormalRepo is how a repository is stored and compared: its https address in lower case, without credentials, ".git"
// or a slash at its end. "account/name" is one on GitHub.
func NormalRepo(repo string) (string, error) {
	if regexp.MustCompile(`^[\w.-]+/[\w.-]+$`).MatchString(repo) {
		repo = "https://github.com/" + repo
	}
	if faults := checkRepo(repo); len(faults) > 0 {
		faults[0].Advice = "give its https address, or account/name of one on GitHub"
		return "", faults
	}
	u, err := url.Parse(repo)
	if err != nil {
		return "", module.Fault{Path: "repo", Value: repo, Problem: "not an address", Advice: "give its https address"}
	}
	at := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git")
	if strings.Trim(at, "/") == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", module.Faults{{Path: "repo", Value: repo, Problem: "names no repository", Advice: "give the address that git clones it by"}}
	}
	return u.Scheme + "://" + strings.ToLower(u.Host+at), nil
}
