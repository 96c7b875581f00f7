package github_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm/github"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// outcome waits for what came of the newest delivery of an event and action.
func (w *world) outcome(event, action string) string {
	w.t.Helper()
	found := ""
	w.eventually(event+" "+action+" to be acted on", func() bool {
		for _, d := range w.deliveries() {
			if d.Event == event && d.Action == action && !d.DoneAt.IsZero() {
				found = d.Outcome
				return true
			}
		}
		return false
	})
	return found
}

// What a repository's new owner tags publishes nothing of the old one's.
func TestATransferredRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	w.gh.Install("others")
	w.eventually("both installations", func() bool { list, _ := w.github.Installations(t.Context()); return len(list) == 2 })
	other, err := w.accounts.CreateOrg(t.Context(), "Other", "other")
	w.must(err)
	_, err = w.github.Connect(t.Context(), "others", other.Org.ID)
	w.must(err)
	repo.Transfer("others")
	if got := w.outcome("repository", "transferred"); got != "the repository was read again" {
		t.Errorf("outcome: %s", got)
	}
	repo.Tag(false, "v1.0.0")
	if row := w.tag(repo, "v1.0.0", github.TagRefused); row.Repository != "others/widget" || !strings.Contains(row.Reason, "not one of the organization that others/widget belongs to") {
		t.Errorf("%s: %s", row.Repository, row.Reason)
	}
}

func TestADeletedRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	repo.Delete()
	if got := w.outcome("repository", "deleted"); got != "the repository is gone" {
		t.Errorf("outcome: %s", got)
	}
	if list, err := w.github.Repositories(t.Context(), w.org.ID); err != nil || len(list) != 0 {
		t.Errorf("repositories: %v, %v", list, err)
	}
}

func TestASuspendedInstallation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.gh.NewRepo("acme", "widget", true)
	repo.Commit(map[string]string{"meta.json": meta("acme:widget")})
	w.module("widget")
	id := w.gh.Install("acme")
	w.eventually("the installation", func() bool { list, _ := w.github.Repositories(t.Context(), w.org.ID); return len(list) == 1 })
	w.gh.Suspend(id, true)
	if got := w.outcome("installation", "suspend"); got != "the App is suspended on acme" {
		t.Errorf("outcome: %s", got)
	}
	repo.Tag(false, "v1.0.0")
	if row := w.tag(repo, "v1.0.0", github.TagRefused); !strings.Contains(row.Reason, "is suspended there") {
		t.Errorf("reason: %s", row.Reason)
	}
	w.gh.Suspend(id, false)
	w.outcome("installation", "unsuspend")
	w.build(repo, "v1.0.0")
	w.publish(w.claim())
	w.tag(repo, "v1.0.0", github.TagBuilt)
}

// Annotated and signed tags are objects of their own, with a commit behind them.
func TestTagsThatAreObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	head := repo.Commit(map[string]string{"README.md": "signed"})
	repo.Tag(true, "v1.0.0")
	repo.SignedTag("v1.0.1")
	for _, tag := range []string{"v1.0.0", "v1.0.1"} {
		w.publish(w.claim())
		if row := w.tag(repo, tag, github.TagBuilt); row.Commit != head || row.Object == head {
			t.Errorf("%s: object %s, commit %s; want the commit %s", tag, row.Object, row.Commit, head)
		}
	}
}
