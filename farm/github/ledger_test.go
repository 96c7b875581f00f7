package github_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
)

// GitHub tells nobody of four tags that are pushed at once: a sweep finds them.
func TestFourTagsAtOnce(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		repo := w.repo("widget", false)
		before := len(w.deliveries())
		repo.Tag(false, "v1.0.0", "v1.0.1", "v1.0.2", "v1.0.3")
		if after := len(w.deliveries()); after != before {
			t.Fatalf("GitHub sent %d messages", after-before)
		}
		swept, err := w.github.Sync(t.Context(), "")
		w.must(err)
		if swept.Tags != 4 {
			t.Errorf("the sweep noticed %d tags, want 4", swept.Tags)
		}
		for range 4 {
			w.publish(w.claim())
		}
		for i := range 4 {
			row := w.tag(repo, fmt.Sprintf("v1.0.%d", i), github.TagBuilt)
			if row.Source != "sweep" {
				t.Errorf("%s was seen by %s", row.Name, row.Source)
			}
		}
		if swept, err = w.github.Sync(t.Context(), ""); err != nil || swept.Tags != 0 {
			t.Errorf("a second sweep noticed %d tags, %v", swept.Tags, err)
		}
	})
}

func TestALostDeliveryIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	w.gh.Lose(2) // create and push
	repo.Tag(false, "v1.0.0")
	swept, err := w.github.Sync(t.Context(), "")
	w.must(err)
	if swept.Redelivered != 2 || swept.Tags != 1 {
		t.Errorf("swept %+v, want 2 deliveries asked for again and 1 tag", swept)
	}
	w.publish(w.claim())
	w.tag(repo, "v1.0.0", github.TagBuilt)
	w.eventually("the messages to arrive", func() bool {
		n := 0
		for _, d := range w.deliveries() {
			if d.Event == "create" || d.Event == "push" {
				n++
			}
		}
		return n == 2
	})
	if swept, err = w.github.Sync(t.Context(), ""); err != nil || swept.Redelivered != 0 {
		t.Errorf("asked again for %d deliveries, %v", swept.Redelivered, err)
	}
}

func TestDoubledDeliveriesAreOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	w.gh.Double(2)
	repo.Tag(false, "v1.0.0")
	w.publish(w.claim())
	row := w.tag(repo, "v1.0.0", github.TagBuilt)
	builds, err := w.owner.Builds(t.Context(), row.Builds[0].Module, 0)
	if err != nil || len(builds) != 1 {
		t.Errorf("%d builds, %v", len(builds), err)
	}
}

func TestAMovedTagIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	repo.Tag(false, "v1.0.0")
	job := w.claim()
	w.publish(job)
	w.tag(repo, "v1.0.0", github.TagBuilt)
	digest := w.release(job.Build.Module, "1.0.0").SHA256

	repo.Commit(map[string]string{"main.c": "int main(void) { return 1; }\n"})
	repo.Tag(false, "v1.0.0")
	row := w.tag(repo, "v1.0.0", github.TagRefused)
	if !row.Moved || !strings.Contains(row.Reason, "never changes") || !strings.Contains(row.Reason, job.Build.Commit[:12]) {
		t.Errorf("ledger: %+v", row)
	}
	if now := w.release(job.Build.Module, "1.0.0").SHA256; now != digest {
		t.Error("what was published has changed")
	}
}

func TestTagsOlderThanTheAppWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.gh.NewRepo("acme", "old", false)
	old.Commit(map[string]string{"meta.json": meta("acme:old")})
	w.module("old")
	old.Tag(false, "v0.9.0")
	w.gh.Install("acme", "old")
	row := w.tag(old, "v0.9.0", github.TagMissing)
	if !strings.Contains(row.Reason, "modfarm github sync --tag v0.9.0 acme/old") {
		t.Errorf("reason: %s", row.Reason)
	}
	w.must(w.github.BuildTag(t.Context(), w.org.ID, "acme/old", "v0.9.0"))
	w.publish(w.claim())
	w.tag(old, "v0.9.0", github.TagBuilt)
}

func TestADeletedTagIsSaidToBeGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	repo.Tag(false, "v1.0.0")
	w.publish(w.claim())
	w.tag(repo, "v1.0.0", github.TagBuilt)
	repo.DeleteTag("v1.0.0")
	w.tag(repo, "v1.0.0", github.TagDeleted)
}

func TestSeveralModulesOfOneRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.module("arm")
	w.module("leg")
	repo := w.gh.NewRepo("acme", "robot", false)
	repo.Commit(map[string]string{
		"arm/meta.json": meta("acme:arm"), "leg/meta.json": meta("acme:leg"), "vendor/x/meta.json": meta("acme:vendored"),
	})
	w.gh.Install("acme", "robot")
	w.eventually("the installation", func() bool { list, _ := w.github.Repositories(t.Context(), w.org.ID); return len(list) == 1 })
	repo.Tag(false, "leg/v1.0.0")
	job := w.claim()
	if job.Build.Module.Name != "leg" || job.Build.Workdir != "leg" {
		t.Errorf("built %s in %s", job.Build.Module, job.Build.Workdir)
	}
	w.publish(job)
	w.tag(repo, "leg/v1.0.0", github.TagBuilt)

	repo.Tag(false, "v2.0.0")
	for range 2 {
		w.publish(w.claim())
	}
	if row := w.tag(repo, "v2.0.0", github.TagBuilt); len(row.Builds) != 2 {
		t.Errorf("builds: %+v", row.Builds)
	}
	repo.Tag(false, "wing/v1.0.0")
	if row := w.tag(repo, "wing/v1.0.0", github.TagRefused); !strings.Contains(row.Reason, "there are: arm, leg") {
		t.Errorf("reason: %s", row.Reason)
	}
}

func TestTagsThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	emoji, long := "v1.0.0-🚀", "v1.0.0-"+strings.Repeat("x", 293)
	for tag, want := range map[string]string{
		"nightly": "is no version", emoji: "is no version", "$(reboot)": "is no version", "a b/v1.0.0": "is no version",
		"../../x": "is no version", long: "",
	} {
		w.gh.Send("push", map[string]any{
			"ref": "refs/tags/" + tag, "after": strings.Repeat("a", 40), "repository": map[string]any{"id": repo.ID, "full_name": repo.FullName()},
		})
		row := w.tag(repo, tag, github.TagRefused, github.TagDeleted)
		if !strings.Contains(row.Reason, want) || len(row.Reason) > 500 {
			t.Errorf("%.40q: %s (%s)", tag, row.State, row.Reason)
		}
	}

	w.newCommit(repo, map[string]string{"README.md": "nothing"}, "v3.0.0")
	if row := w.tag(repo, "v3.0.0", github.TagRefused); !strings.Contains(row.Reason, "has no meta.json") {
		t.Errorf("reason: %s", row.Reason)
	}
	w.newCommit(repo, map[string]string{"meta.json": `{"module_id": 7}`}, "v3.0.1")
	if row := w.tag(repo, "v3.0.1", github.TagRefused); !strings.Contains(row.Reason, "module_id") {
		t.Errorf("reason: %s", row.Reason)
	}
	w.newCommit(repo, map[string]string{"meta.json": meta("acme:unknown")}, "v3.0.2")
	if row := w.tag(repo, "v3.0.2", github.TagRefused); !strings.Contains(row.Reason, "modfarm module create acme:unknown") {
		t.Errorf("reason: %s", row.Reason)
	}
	other, err := w.accounts.CreateOrg(t.Context(), "Other", "other")
	w.must(err)
	_, err = w.registry.CreateModule(t.Context(), other.Org.ID, "theirs")
	w.must(err)
	w.newCommit(repo, map[string]string{"meta.json": meta("other:theirs")}, "v3.0.3")
	if row := w.tag(repo, "v3.0.3", github.TagRefused); !strings.Contains(row.Reason, "not one of the organization") {
		t.Errorf("reason: %s", row.Reason)
	}
}

// On a farm of several organizations nobody is told by GitHub whose an account is.
func TestAnAccountBelongsToNobodyUntilSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := w.accounts.CreateOrg(t.Context(), "Other", "other")
	w.must(err)
	_, err = w.registry.CreateModule(t.Context(), other.Org.ID, "theirs")
	w.must(err)
	repo := w.gh.NewRepo("others", "theirs", true)
	repo.Commit(map[string]string{"meta.json": meta("other:theirs")})
	w.gh.Install("others")
	w.eventually("the installation", func() bool { list, _ := w.github.Installations(t.Context()); return len(list) == 1 })
	repo.Tag(false, "v1.0.0")
	if row := w.tag(repo, "v1.0.0", github.TagWaiting, github.TagMissing); row.State == github.TagWaiting {
		w.eventually("the reason", func() bool {
			row = w.tag(repo, "v1.0.0", github.TagWaiting)
			return strings.Contains(row.Reason, "modfarm github connect others")
		})
	}
	key, secret, err := w.accounts.CreateKey(t.Context(), other.Org.ID, account.KeySpec{Role: account.RoleOwner})
	w.must(err)
	theirs, err := client.New(client.Config{URL: w.url, KeyID: key.ID, Key: secret})
	w.must(err)
	if _, err := theirs.ConnectGitHubAccount(t.Context(), "others", ""); err == nil {
		t.Error("somebody who does not run the farm took an account")
	}
	_, err = w.owner.ConnectGitHubAccount(t.Context(), "others", "other")
	w.must(err)
	w.must(theirs.BuildGitHubTag(t.Context(), "others/theirs", "v1.0.0"))
	w.publish(w.claim())
	w.tag(repo, "v1.0.0", github.TagBuilt)
	if tags, err := w.owner.GitHubTags(t.Context(), "", "", 0); err != nil || len(tags) != 0 {
		t.Errorf("another organization sees %v, %v", tags, err)
	}
}

// newCommit puts a commit of these files alone on a tag.
func (w *world) newCommit(repo *githubtest.Repo, files map[string]string, tag string) {
	w.t.Helper()
	repo.Replace(files)
	repo.Tag(false, tag)
}

func (w *world) deliveries() []github.Delivery {
	w.t.Helper()
	list, err := w.github.Deliveries(w.t.Context(), 1000)
	w.must(err)
	return list
}
