package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	gh "github.com/google/go-github/v60/github"

	"github.com/modfarm/modfarm/module"
)

// perPage is GitHub's largest page.
const perPage = 100

// installationEvent follows an App that is installed, suspended or removed.
func (g *GitHub) installationEvent(ctx context.Context, e event) (string, error) {
	if e.Installation == nil || e.Installation.ID == 0 {
		return "", errOtherEvent
	}
	switch e.Action {
	case "deleted", "suspend":
		in, err := g.installation(ctx, e.Installation.ID)
		if errors.Is(err, module.ErrNotFound) {
			return "an installation that was not known", nil
		}
		if err != nil {
			return "", err
		}
		in.Removed, in.UpdatedAt = true, g.now()
		g.dropClient(in.ID)
		outcome := "the App is suspended on " + in.Account
		if e.Action == "deleted" {
			outcome = "the App is not on " + in.Account + " any more"
			err = g.Store.DropAppLink(ctx, appLinkID(in.ID))
		}
		return outcome, errors.Join(err, g.Store.SaveInstallation(ctx, in))
	}
	if err := g.readInstallation(ctx, e.Installation.ID); err != nil {
		return "", err
	}
	g.hurry(loopSweep) // its repositories have tags
	return "the installation and its repositories were read", nil
}

func (g *GitHub) repositoriesEvent(ctx context.Context, e event) (string, error) {
	if e.Installation == nil || e.Installation.ID == 0 {
		return "", errOtherEvent
	}
	if err := g.readInstallation(ctx, e.Installation.ID); err != nil {
		return "", err
	}
	g.hurry(loopSweep)
	return "the installation's repositories were read", nil
}

// repositoryEvent follows a repository that was renamed, transferred, deleted, published or hidden: its number stays,
// so that everything known of it does, too.
func (g *GitHub) repositoryEvent(ctx context.Context, e event) (string, error) {
	if e.Repository == nil || e.Repository.ID == 0 {
		return "", errOtherEvent
	}
	repo, err := g.known(ctx, e.Repository.ID)
	unknown := errors.Is(err, module.ErrNotFound)
	if err != nil && !unknown {
		return "", err
	}
	if e.Action == "deleted" && !unknown {
		repo.Removed = true
		return "the repository is gone", g.Store.SaveRepositories(ctx, []Repository{repo})
	}
	// One that was transferred leaves an installation, and may come to another.
	read := []int64{repo.InstallationID}
	if e.Installation != nil {
		read = append(read, e.Installation.ID)
	}
	read = slices.DeleteFunc(slices.Compact(read), func(id int64) bool { return id == 0 })
	if len(read) == 0 {
		return "no installation covers the repository", nil
	}
	for _, id := range read {
		if err := g.readInstallation(ctx, id); err != nil && !errors.Is(err, module.ErrNotFound) {
			return "", err
		}
	}
	g.hurry(loopSweep)
	return "the repository was read again", nil
}

// readInstallation reads an installation and its repositories from GitHub. An account belongs to no organization until
// somebody says to which; on a farm with one organization that is clear.
func (g *GitHub) readInstallation(ctx context.Context, id int64) error {
	a, err := g.current(ctx)
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	found, _, err := a.api.Apps.GetInstallation(call, id)
	cancel()
	if err != nil {
		err = explain(err, fmt.Sprintf("read the installation %d", id))
		if known, kerr := g.installation(ctx, id); kerr == nil && errors.Is(err, module.ErrNotFound) {
			known.Removed, known.UpdatedAt = true, g.now()
			return errors.Join(err, g.Store.SaveInstallation(ctx, known))
		}
		return err
	}
	in := Installation{ID: id, Account: found.GetAccount().GetLogin(), Removed: found.SuspendedAt != nil, UpdatedAt: g.now()}
	known, err := g.installation(ctx, id)
	if errors.Is(err, module.ErrNotFound) {
		orgs, oerr := g.Organizations.OrgIDs(ctx)
		if err = oerr; len(orgs) == 1 {
			in.OrgID = orgs[0]
		}
	}
	if err != nil {
		return err
	}
	if err := g.Store.SaveInstallation(ctx, in); err != nil || in.Removed {
		return err
	}
	if in.OrgID = cmp.Or(in.OrgID, known.OrgID); known.Account != in.Account {
		if err := g.shareWithOwner(ctx, in); err != nil {
			return err
		}
	}
	return g.readRepositories(ctx, in)
}

// readRepositories lists what an installation covers; what is not listed any more is removed.
func (g *GitHub) readRepositories(ctx context.Context, in Installation) error {
	api, err := g.on(ctx, in.ID)
	if err != nil {
		return err
	}
	listed := map[int64]Repository{}
	var list []Repository
	options := &gh.ListOptions{PerPage: perPage}
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		page, answer, err := api.Apps.ListRepos(call, options)
		cancel()
		if err != nil {
			return g.trouble(err, in.ID, "list the repositories of "+in.Account)
		}
		for _, r := range page.Repositories {
			listed[r.GetID()] = Repository{
				ID: r.GetID(), InstallationID: in.ID, FullName: r.GetFullName(), CloneURL: r.GetCloneURL(), Private: r.GetPrivate(),
			}
			list = append(list, listed[r.GetID()])
		}
		if options.Page = answer.NextPage; options.Page == 0 {
			break
		}
	}
	before, err := g.Store.Repositories(ctx, RepositoryFilter{InstallationID: in.ID})
	if err != nil {
		return err
	}
	for _, r := range before {
		now, there := listed[r.ID]
		if !there {
			r.Removed = true
			list = append(list, r)
			continue
		}
		if err := g.moveLinks(ctx, r, now); err != nil {
			return err
		}
	}
	return g.Store.SaveRepositories(ctx, list)
}

// installation is one that is known.
func (g *GitHub) installation(ctx context.Context, id int64) (Installation, error) {
	if id == 0 {
		return Installation{}, fmt.Errorf("%w: an installation without a number", module.ErrInvalid)
	}
	list, err := g.Store.Installations(ctx, id)
	if err != nil {
		return Installation{}, err
	}
	if len(list) == 0 {
		return Installation{}, fmt.Errorf("%w: the installation %d is not known", module.ErrNotFound, id)
	}
	return list[0], nil
}

func (g *GitHub) dropClient(id int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.clients, id)
}

// Installations lists the accounts that the App is on.
func (g *GitHub) Installations(ctx context.Context) ([]Installation, error) {
	return g.Store.Installations(ctx, 0)
}

// Repositories lists the repositories of an organization, those that are gone left out.
func (g *GitHub) Repositories(ctx context.Context, orgID string) ([]Repository, error) {
	list, err := g.Store.Repositories(ctx, RepositoryFilter{OrgID: orgID})
	var there []Repository
	for _, r := range list {
		if !r.Removed {
			there = append(there, r)
		}
	}
	return there, err
}

// Connect says to which organization an account belongs: its repositories may publish that organization's modules,
// and its builds may read them. The caller must be somebody who decides for the whole farm, because an installation
// does not prove whose it is.
func (g *GitHub) Connect(ctx context.Context, account, orgID string) (Installation, error) {
	if _, err := g.current(ctx); err != nil {
		return Installation{}, err
	}
	list, err := g.Store.Installations(ctx, 0)
	if err != nil {
		return Installation{}, err
	}
	for _, in := range list {
		if in.Account != account || in.Removed {
			continue
		}
		in.OrgID, in.UpdatedAt = orgID, g.now()
		if err := errors.Join(g.Store.SaveInstallation(ctx, in), g.shareWithOwner(ctx, in)); err != nil {
			return Installation{}, err
		}
		g.hurry(loopSweep)
		return in, nil
	}
	return Installation{}, fmt.Errorf("%w: the App is not installed on %q; install it there first, from the page that 'modfarm github status' names",
		module.ErrNotFound, account)
}
