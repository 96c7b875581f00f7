package github_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
)

// linked is what the tags of the only repository build, as its owner sees it.
func (w *world) linked() []string {
	w.t.Helper()
	status, err := w.owner.GitHub(w.t.Context(), false)
	w.must(err)
	if len(status.Repositories) != 1 {
		w.t.Fatalf("repositories: %+v", status.Repositories)
	}
	return status.Repositories[0].Modules
}

// build has a tag looked at now, as a user does.
func (w *world) build(repo *githubtest.Repo, tag string) {
	w.t.Helper()
	w.must(w.owner.BuildGitHubTag(w.t.Context(), repo.FullName(), tag))
}

// The installation links a module with its repository. Who removes the link ends the building, for good.
func TestUnlinkingStopsBuilding(t *testing.T) {
	onEach(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		repo := w.repo("widget", false)
		if got := w.linked(); !slices.Equal(got, []string{"acme:widget"}) {
			t.Fatalf("after the installation the repository builds %q", got)
		}
		links, err := w.links.Store.RepoLinks(ctx, w.org.ID, "")
		w.must(err)
		w.must(w.links.UnlinkRepo(ctx, w.org.ID, links[0].ID))
		repo.Tag(false, "v1.0.0")
		row := w.tag(repo, "v1.0.0", github.TagRefused)
		for _, want := range []string{"acme:widget was unlinked from acme/widget", "modfarm module link", "modfarm github sync --tag"} {
			if !strings.Contains(row.Reason, want) {
				t.Errorf("the reason lacks %q: %s", want, row.Reason)
			}
		}
		_, err = w.github.Sync(ctx, "")
		w.must(err)
		if got := w.linked(); len(got) != 0 {
			t.Errorf("a sweep linked %q again", got)
		}
		again, err := w.links.LinkRepo(ctx, farm.RepoLink{OrgID: w.org.ID, Module: links[0].Module, Repo: repo.CloneURL(), CreatedBy: "key-1"})
		w.must(err)
		if again.ID != links[0].ID || again.CreatedBy != "key-1" {
			t.Errorf("linked again as %+v", again)
		}
		w.build(repo, "v1.0.0")
		w.publish(w.claim())
		w.tag(repo, "v1.0.0", github.TagBuilt)
	})
}

// A module that is made after the installation is linked by its first tag.
func TestTheFirstTagLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	w.module("gadget")
	w.newCommit(repo, map[string]string{"meta.json": meta("acme:gadget")}, "v1.0.0")
	w.publish(w.claim())
	w.tag(repo, "v1.0.0", github.TagBuilt)
	if got := w.linked(); !slices.Equal(got, []string{"acme:gadget", "acme:widget"}) {
		t.Errorf("the repository builds %q", got)
	}
	repo.Rename("renamed")
	w.eventually("the new name", func() bool {
		list, err := w.github.Repositories(t.Context(), w.org.ID)
		return err == nil && len(list) == 1 && list[0].FullName == "acme/renamed"
	})
	if got := w.linked(); len(got) != 2 {
		t.Errorf("under its new name the repository builds %q", got)
	}
}

// A link lets an organization build a repository of another one's account: a public one, or one that its owner shares.
func TestALinkOfAnotherOrganization(t *testing.T) {
	onEach(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		other, err := w.accounts.CreateOrg(ctx, "Other", "other")
		w.must(err)
		theirs, err := w.registry.CreateModule(ctx, other.Org.ID, "theirs")
		w.must(err)
		key, secret, err := w.accounts.CreateKey(ctx, other.Org.ID, account.KeySpec{Role: account.RoleOwner})
		w.must(err)
		they, err := client.New(client.Config{URL: w.url, KeyID: key.ID, Key: secret})
		w.must(err)
		repo := w.gh.NewRepo("acme", "widget", false)
		repo.Commit(map[string]string{"meta.json": meta("other:theirs")})
		installation := w.gh.Install("acme", "widget")
		w.eventually("the installation", func() bool { list, _ := w.github.Installations(ctx); return len(list) == 1 })
		_, err = w.owner.ConnectGitHubAccount(ctx, "acme", "acme")
		w.must(err)

		repo.Tag(false, "v1.0.0")
		if row := w.tag(repo, "v1.0.0", github.TagRefused); !strings.Contains(row.Reason, "not one of the organization") {
			t.Errorf("without a link: %s", row.Reason)
		}
		_, err = w.links.LinkRepo(ctx, farm.RepoLink{OrgID: other.Org.ID, Module: theirs.ID(), Repo: repo.CloneURL(), CreatedBy: "key-1"})
		w.must(err)
		w.must(they.BuildGitHubTag(ctx, repo.FullName(), "v1.0.0"))
		job := w.claim()
		if job.Build.Module.String() != "other:theirs" {
			t.Errorf("built %s", job.Build.Module)
		}
		w.publish(job)
		w.tag(repo, "v1.0.0", github.TagBuilt)
		if tags, err := they.GitHubTags(ctx, "", "", 0); err != nil || len(tags) != 1 {
			t.Errorf("who linked it sees %v, %v", tags, err)
		}

		repo.SetPrivate(true)
		w.eventually("the repository to be private", func() bool {
			list, err := w.github.Repositories(ctx, w.org.ID)
			return err == nil && len(list) == 1 && list[0].Private
		})
		repo.Tag(false, "v1.0.1")
		if row := w.tag(repo, "v1.0.1", github.TagRefused); !strings.Contains(row.Reason, "modfarm github share acme --org") {
			t.Errorf("private: %s", row.Reason)
		}
		if token, err := w.github.CheckoutToken(ctx, other.Org.ID, repo.CloneURL()); err == nil {
			t.Errorf("a link alone gave the token %q", token)
		}
		shares, err := w.owner.GitHubShares(ctx)
		if err != nil || len(shares) != 1 || shares[0].Account != "acme" || shares[0].AppLinkID != itoa(installation) {
			t.Fatalf("what the owner may share: %+v, %v", shares, err)
		}
		w.must(w.owner.ShareGitHubAccount(ctx, shares[0].AppLinkID, "other", false))
		w.build(repo, "v1.0.1")
		shared := w.claim()
		if shared.Token == "" {
			t.Error("the job has no token for the private repository")
		}
		w.publish(shared)
		w.tag(repo, "v1.0.1", github.TagBuilt)
	})
}
