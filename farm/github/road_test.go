package github_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/module"
)

func TestATagIsBuiltAndCheckedByItself(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		repo := w.repo("widget", true)
		repo.Tag(false, "v1.0.0")

		job := w.claim()
		if got := w.check(repo, "in_progress"); !strings.Contains(got.Name, "linux/amd64") || got.HeadSHA != job.Build.Commit {
			t.Errorf("check %q on %s", got.Name, got.HeadSHA)
		}
		w.log(job, "hello \x1b[31mred\x1b[0m\n")
		w.publish(job)
		done := w.check(repo, "success")
		sha := w.release(job.Build.Module, "1.0.0").SHA256
		for _, want := range []string{sha, "native", "acme:widget"} {
			if !strings.Contains(done.Output.Summary, want) {
				t.Errorf("the summary lacks %q:\n%s", want, done.Output.Summary)
			}
		}
		if done.History[len(done.History)-1] != "success" || !slices.Contains(done.History, "in_progress") {
			t.Errorf("history %v", done.History)
		}
		if body := get(t, done.DetailsURL); body != "hello red\n" {
			t.Errorf("the log behind the check is %q", body)
		}
		if status := statusOf(t, strings.TrimSuffix(done.DetailsURL, done.DetailsURL[len(done.DetailsURL)-3:])+"abc"); status != http.StatusNotFound {
			t.Errorf("a link with another signature answers %d", status)
		}
		if row := w.tag(repo, "v1.0.0", github.TagBuilt); row.Source != "webhook" || len(row.Builds) != 1 || row.Commit != job.Build.Commit {
			t.Errorf("ledger: %+v", row)
		}
	})
}

// The token of a job reads one repository and nothing else, and another organization's build gets none.
func TestCheckoutTokensAreNarrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", true)
	w.gh.NewRepo("acme", "secret", true)
	repo.Tag(true, "v1.0.0")
	job := w.claim()
	minted := w.gh.Tokens()
	i := slices.IndexFunc(minted, func(token githubtest.Token) bool { return token.Value == job.Token })
	if i < 0 {
		t.Fatalf("the job's token %q was not minted at GitHub", job.Token)
	}
	token := minted[i]
	if !slices.Equal(token.Repos, []string{"acme/widget"}) || len(token.Permissions) != 1 || token.Permissions["contents"] != "read" {
		t.Errorf("the job's token reads %v with %v", token.Repos, token.Permissions)
	}
	if _, err := w.github.CheckoutToken(t.Context(), "another organization", repo.CloneURL()); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("another organization's build: %v", err)
	}
	w.publish(job)
	w.check(repo, "success")
}

func TestRerunAfterAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	repo.Tag(false, "v1.0.0")
	job := w.claim()
	w.log(job, "cc -c main.c\nmain.c:1:5: error: unknown type name 'innt'\n")
	w.finish(job, client.Outcome{Kind: client.OutcomeFailed, Reason: "the build step ended with status 1; see the log"})
	failed := w.check(repo, "failure")
	want := []githubtest.Annotation{{Path: "main.c", StartLine: 1, EndLine: 1, Level: "failure", Message: "unknown type name 'innt'", Title: "linux/amd64"}}
	if !slices.Equal(failed.Annotations, want) {
		t.Errorf("annotations %+v", failed.Annotations)
	}
	if !strings.Contains(failed.Output.Summary, "ended with status 1") {
		t.Errorf("summary:\n%s", failed.Output.Summary)
	}
	w.tag(repo, "v1.0.0", github.TagFailed)

	w.gh.Rerun(failed.ID)
	again := w.claim()
	if again.Job.ID != job.Job.ID {
		t.Errorf("the job %s was claimed, want %s again", again.Job.ID, job.Job.ID)
	}
	w.publish(again)
	if now := w.check(repo, "success"); now.ID == failed.ID {
		t.Error("a re-run is a check run of its own at GitHub")
	}
	w.tag(repo, "v1.0.0", github.TagBuilt)
}

func TestACancelIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	repo.Tag(false, "v1.0.0")
	build := w.tag(repo, "v1.0.0", github.TagWaiting)
	w.eventually("a build", func() bool {
		build = w.tag(repo, "v1.0.0", github.TagWaiting)
		return len(build.Builds) == 1
	})
	if _, err := w.owner.CancelBuild(t.Context(), build.Builds[0].BuildID); err != nil {
		t.Fatal(err)
	}
	w.check(repo, "cancelled")
	if row := w.tag(repo, "v1.0.0", github.TagFailed); !strings.Contains(row.Reason, "cancelled") {
		t.Errorf("reason: %s", row.Reason)
	}
	w.gh.RerunAll(repo, build.Commit)
	w.publish(w.claim())
	w.check(repo, "success")
}

// release is what was published.
func (w *world) release(id module.ID, version string) module.Release {
	w.t.Helper()
	v, err := module.ParseVersion(version)
	w.must(err)
	rel, err := w.registry.Find(w.t.Context(), id, v, module.Platform{OS: "linux", Arch: "amd64"})
	w.must(err)
	return rel
}
