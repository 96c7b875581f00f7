package github

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gh "github.com/google/go-github/v60/github"

	"github.com/modfarm/modfarm/module"
)

// deliveriesBack is how far back failed deliveries are asked for: GitHub keeps them for about three days.
// Source: GitHub's documentation of redelivering webhooks.
const deliveriesBack = 3 * 24 * time.Hour

// redeliverAtOnce bounds how many deliveries one sweep asks for again.
const redeliverAtOnce = 100

// Swept is what a sweep found.
type Swept struct {
	Repositories int `json:"repositories"`
	// Tags were not on the ledger, or had to be looked at again.
	Tags int `json:"tags"`
	// Redelivered deliveries had failed.
	Redelivered int `json:"redelivered"`
}

// sweep is what the loop does; without an App there is nothing to do.
func (g *GitHub) sweep(ctx context.Context) error {
	if _, err := g.current(ctx); errors.Is(err, module.ErrNotFound) {
		return nil
	}
	_, err := g.Sync(ctx, "")
	return err
}

// Sync compares the tags of every repository of an organization (of all, for none) with the ledger, and asks for
// deliveries that failed. GitHub sends no message when more than three tags are pushed at once, and messages get lost:
// a sync finds what they were about. It stops when GitHub asks it to stay away, and goes on with the next.
func (g *GitHub) Sync(ctx context.Context, orgID string) (Swept, error) {
	g.setup()
	var swept Swept
	faults := []error{g.readInstallations(ctx)}
	repos, err := g.Store.Repositories(ctx, RepositoryFilter{OrgID: orgID})
	faults = append(faults, err)
	for _, repo := range repos {
		if repo.Removed || ctx.Err() != nil {
			continue
		}
		n, err := g.sweepRepository(ctx, repo)
		swept.Tags += n
		if err == nil {
			swept.Repositories++
		}
		faults = append(faults, err)
		if limited(err) {
			break
		}
	}
	if orgID == "" {
		n, err := g.Redeliver(ctx)
		swept.Redelivered = n
		faults = append(faults, err)
	}
	g.hurry(loopTags)
	return swept, errors.Join(faults...)
}

// readInstallations finds installations whose message was lost.
func (g *GitHub) readInstallations(ctx context.Context) error {
	a, err := g.current(ctx)
	if err != nil {
		return err
	}
	options := &gh.ListOptions{PerPage: perPage}
	there := map[int64]bool{}
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		list, answer, err := a.api.Apps.ListInstallations(call, options)
		cancel()
		if err != nil {
			return explain(err, "list the installations of the App")
		}
		for _, in := range list {
			there[in.GetID()] = true
			if err := g.readInstallation(ctx, in.GetID()); err != nil {
				return err
			}
		}
		if options.Page = answer.NextPage; options.Page == 0 {
			break
		}
	}
	known, err := g.Store.Installations(ctx, 0)
	for _, in := range known {
		if !there[in.ID] && !in.Removed {
			in.Removed, in.UpdatedAt = true, g.now()
			err = errors.Join(err, g.Store.SaveInstallation(ctx, in))
		}
	}
	return err
}

// sweepRepository compares a repository's tags with the ledger. The tags that are there when a repository is seen for
// the first time are older than the App: nobody asked for them, so they are missing until somebody does.
func (g *GitHub) sweepRepository(ctx context.Context, repo Repository) (noticed int, err error) {
	in, err := g.installation(ctx, repo.InstallationID)
	if err != nil || in.Removed {
		return 0, err
	}
	if err := g.linkModules(ctx, &repo, in); err != nil {
		return 0, err
	}
	tags, err := g.listTags(ctx, repo)
	if err != nil {
		return 0, err
	}
	rows, err := g.Store.Tags(ctx, TagFilter{RepoID: repo.ID, Limit: -1})
	if err != nil {
		return 0, err
	}
	known := map[string]Tag{}
	for _, t := range rows {
		known[t.Name] = t
	}
	for name, object := range tags {
		t, ok := known[name]
		delete(known, name)
		switch {
		case !ok && repo.BaselineAt.IsZero():
			err = g.missTag(ctx, repo, name, object)
		case !ok, t.State == TagDeleted, t.Object != "" && t.Object != object && !t.Moved && t.State != TagMissing,
			t.State == TagWaiting && t.NextAt.IsZero(): // until somebody said whose the account is
			err = g.noticeTag(ctx, repo, name, sourceSweep)
			noticed++
		}
		if err != nil {
			return noticed, err
		}
	}
	for name, t := range known { // on the ledger, and not there any more
		if t.State != TagDeleted {
			if err := g.noticeTag(ctx, repo, name, sourceSweep); err != nil {
				return noticed, err
			}
			noticed++
		}
	}
	repo.SweptAt = g.now()
	if repo.BaselineAt.IsZero() {
		repo.BaselineAt = repo.SweptAt
	}
	return noticed, g.Store.SaveRepositories(ctx, []Repository{repo})
}

func (g *GitHub) missTag(ctx context.Context, repo Repository, name, object string) error {
	return g.Store.UpdateTag(ctx, repo.ID, name, func(t *Tag) error {
		if !t.SeenAt.IsZero() {
			return nil // a message was quicker
		}
		*t = t.end(TagMissing, fmt.Sprintf("the tag is older than the GitHub App on this repository; build it with 'modfarm github sync --tag %s %s'", name, repo.FullName))
		t.Object, t.Source, t.SeenAt = object, sourceSweep, g.now()
		return nil
	})
}

// listTags are a repository's tags with the objects they name.
func (g *GitHub) listTags(ctx context.Context, repo Repository) (map[string]string, error) {
	api, err := g.on(ctx, repo.InstallationID)
	if err != nil {
		return nil, err
	}
	owner, name := splitName(repo.FullName)
	tags := map[string]string{}
	options := &gh.ReferenceListOptions{Ref: "tags/", ListOptions: gh.ListOptions{PerPage: perPage}}
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		refs, answer, err := api.Git.ListMatchingRefs(call, owner, name, options)
		cancel()
		if err != nil {
			return nil, g.trouble(err, repo.InstallationID, "list the tags of "+repo.FullName)
		}
		for _, ref := range refs {
			if tag, ok := strings.CutPrefix(ref.GetRef(), "refs/tags/"); ok {
				tags[tag] = ref.GetObject().GetSHA()
			}
		}
		if options.Page = answer.NextPage; options.Page == 0 {
			return tags, nil
		}
	}
}

// BuildTag has a tag looked at now, whatever its row says: one that is older than the App, or one that was refused or
// failed. What was built before stays.
func (g *GitHub) BuildTag(ctx context.Context, orgID, fullName, name string) error {
	if _, err := g.current(ctx); err != nil {
		return err
	}
	list, err := g.Store.Repositories(ctx, RepositoryFilter{FullName: fullName, OrgID: orgID})
	if err != nil {
		return err
	}
	if len(list) == 0 || list[0].Removed {
		return fmt.Errorf("%w: no installation of the GitHub App that belongs to the organization covers %q; 'modfarm github status' lists those that do",
			module.ErrNotFound, fullName)
	}
	err = g.Store.UpdateTag(ctx, list[0].ID, name, func(t *Tag) error {
		if t.SeenAt.IsZero() {
			t.SeenAt, t.Source = g.now(), sourcePerson
		}
		if t.State != TagBuilt {
			t.State, t.Reason, t.Builds = TagWaiting, "it is being looked at", nil
		}
		t.NextAt, t.Tries = g.now(), 0
		return nil
	})
	g.hurry(loopTags)
	return err
}

// Tags lists the ledger of an organization, the last changed first.
func (g *GitHub) Tags(ctx context.Context, f TagFilter) ([]Tag, error) { return g.Store.Tags(ctx, f) }

// Redeliver asks for deliveries that failed and never arrived since, each once: when that fails, too, the tags are
// found by the next sweep.
func (g *GitHub) Redeliver(ctx context.Context) (asked int, err error) {
	a, err := g.current(ctx)
	if err != nil {
		return 0, err
	}
	if len(a.secrets.WebhookSecrets) == 0 {
		return 0, nil // an App without a webhook has no deliveries
	}
	oldest := g.now().Add(-deliveriesBack)
	failed := map[string]int64{} // by GUID
	arrived := map[string]bool{}
	options := &gh.ListCursorOptions{PerPage: perPage}
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		list, answer, err := a.api.Apps.ListHookDeliveries(call, options)
		cancel()
		if err != nil {
			return 0, explain(err, "list the deliveries of the webhook")
		}
		for _, d := range list {
			switch {
			case d.GetStatusCode() >= 200 && d.GetStatusCode() < 300:
				arrived[d.GetGUID()] = true
			case d.GetDeliveredAt().After(oldest) && !d.GetRedelivery():
				failed[d.GetGUID()] = d.GetID()
			case d.GetRedelivery():
				arrived[d.GetGUID()] = true // it was asked for before
			}
		}
		last := len(list) == 0 || list[len(list)-1].GetDeliveredAt().Before(oldest)
		if options.Cursor = answer.Cursor; options.Cursor == "" || last {
			break
		}
	}
	return g.askAgain(ctx, a, failed, arrived)
}

func (g *GitHub) askAgain(ctx context.Context, a *appClient, failed map[string]int64, arrived map[string]bool) (asked int, err error) {
	var guids []string
	for guid := range failed {
		guids = append(guids, guid)
	}
	if len(guids) == 0 {
		return 0, nil
	}
	known, err := g.Store.Deliveries(ctx, guids, len(guids))
	if err != nil {
		return 0, err
	}
	for _, d := range known {
		arrived[d.GUID] = true
	}
	for guid, id := range failed {
		if arrived[guid] || asked == redeliverAtOnce {
			continue
		}
		call, cancel := context.WithTimeout(ctx, callTimeout)
		_, _, err := a.api.Apps.RedeliverHookDelivery(call, id)
		cancel()
		if err != nil && statusOf(err) != 0 || limited(err) {
			return asked, explain(err, "ask for the delivery "+guid+" again")
		}
		asked++
		g.Log.InfoContext(ctx, "github delivery asked for again", "guid", guid)
	}
	return asked, nil
}

// Deliveries lists the newest deliveries, without their payloads.
func (g *GitHub) Deliveries(ctx context.Context, limit int) ([]Delivery, error) {
	return g.Store.Deliveries(ctx, nil, limit)
}
