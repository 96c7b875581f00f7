package github_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/module"
)

// While GitHub is away builds go on, and the checks catch up.
func TestChecksCatchUp(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]githubtest.Fault{
		"bad gateway":    {Status: http.StatusBadGateway},
		"too many":       {Status: http.StatusTooManyRequests, RetryAfter: 1},
		"secondary rate": {Status: http.StatusForbidden, RetryAfter: 1, Secondary: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			repo := w.repo("widget", false)
			repo.Tag(false, "v1.0.0")
			job := w.claim()
			w.gh.Fail("check-runs", fault)
			w.publish(job)
			w.tag(repo, "v1.0.0", github.TagBuilt)
			w.gh.Heal()
			w.check(repo, "success")
		})
	}
}

// A primary rate limit is waited out, for as long as GitHub says.
func TestARateLimitIsWaitedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	w.gh.Limit(0)
	repo.Tag(false, "v1.0.0")
	w.eventually("GitHub to be asked", func() bool {
		return strings.Contains(strings.Join(w.gh.Requests(), "\n"), "git/ref/tags/v1.0.0")
	})
	w.gh.Heal()
	w.publish(w.claim())
	w.check(repo, "success")
}

func TestUninstalledInMidBuild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.gh.NewRepo("acme", "widget", true)
	repo.Commit(map[string]string{"meta.json": meta("acme:widget")})
	w.module("widget")
	id := w.gh.Install("acme", "widget")
	w.eventually("the installation", func() bool { list, _ := w.github.Repositories(t.Context(), w.org.ID); return len(list) == 1 })
	repo.Tag(false, "v1.0.0")
	job := w.claim()
	w.gh.Uninstall(id)
	w.publish(job) // the bytes are there: what was accepted is finished
	w.tag(repo, "v1.0.0", github.TagBuilt, github.TagRefused)
	if w.release(job.Build.Module, "1.0.0").SHA256 == "" {
		t.Error("nothing was published")
	}
	repo.Tag(false, "v1.0.1")
	w.eventually("the message", func() bool { return len(w.deliveries()) >= 4 })
	if a, err := w.worker.Claim(t.Context(), client.Worker{Name: "w1", Native: []module.Platform{{OS: "linux", Arch: "amd64"}}}); err != nil || a != nil {
		t.Errorf("a tag without an installation became the job %v, %v", a, err)
	}
}

func TestRenamedInMidBuild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", true)
	repo.Tag(false, "v1.0.0")
	job := w.claim()
	repo.Rename("gadget")
	w.publish(job)
	w.check(repo, "success")
	w.tag(repo, "v1.0.0", github.TagBuilt)
	w.eventually("the new name", func() bool {
		list, err := w.github.Repositories(t.Context(), w.org.ID)
		return err == nil && len(list) == 1 && list[0].FullName == "acme/gadget"
	})
	repo.Tag(false, "v1.0.1")
	w.publish(w.claim())
	w.tag(repo, "v1.0.1", github.TagBuilt)
}

// A token that ends while it is used costs an attempt, not the build: the next attempt has a new one.
func TestATokenThatExpiresInMidClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", true)
	repo.Tag(false, "v1.0.0")
	job := w.claim()
	w.gh.ExpireTokens()
	w.finish(job, client.Outcome{Kind: client.OutcomeFault, Reason: "the repository could not be fetched: the token was not accepted"})
	again := w.claim()
	if again.Token == job.Token || again.Job.Attempt != 2 {
		t.Errorf("attempt %d has the token %t of the first", again.Job.Attempt, again.Token == job.Token)
	}
	w.publish(again)
	w.check(repo, "success")
}

func TestTheAppIsMadeInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.gh.Deliver("")
	page, err := w.owner.BeginGitHubSetup(t.Context(), "Acme builds", "acme", w.gh.URL)
	w.must(err)
	if _, err := w.owner.BeginGitHubSetup(t.Context(), "", "a/b", "http://example.com"); err == nil || strings.Count(err.Error(), "give") < 3 {
		t.Errorf("a wrong setup: %v", err)
	}
	html := get(t, page)
	action, manifest := attribute(t, html, `action="`), attribute(t, html, `name="manifest" value="`)
	if !strings.HasPrefix(action, w.gh.URL+"/organizations/acme/settings/apps/new?state=") {
		t.Errorf("the button leads to %s", action)
	}
	status, back := request(t, http.MethodPost, action, form("manifest", manifest), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	if status != http.StatusFound || !strings.HasPrefix(back, w.url+github.CallbackPath) {
		t.Fatalf("GitHub answers %d %s", status, back)
	}
	if done := get(t, back); !strings.Contains(done, "is set up") || !strings.Contains(done, "/installations/new") {
		t.Errorf("the last page:\n%s", done)
	}
	got, err := w.owner.GitHub(t.Context(), true)
	if err != nil || got.App == nil || got.App.Name != "Acme builds" || got.App.Problem != "" {
		t.Fatalf("status: %+v, %v", got.App, err)
	}
	if again := get(t, back); !strings.Contains(again, "was used") {
		t.Errorf("the link works twice:\n%s", again)
	}
	if forged := get(t, page[:len(page)-3]+"abc"); !strings.Contains(forged, "not from this farm") {
		t.Errorf("a forged link:\n%s", forged)
	}
	repo := w.repo("widget", false) // and the App works
	repo.Tag(false, "v1.0.0")
	w.publish(w.claim())
	w.check(repo, "success")
}

// What changes quickly is told together.
func TestChecksAreToldTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	began := time.Now()
	repo.Tag(false, "v1.0.0")
	job := w.claim()
	for i := range 100 {
		_, err := w.worker.Extend(t.Context(), job.Lease.LeaseRef, client.Progress{Step: fmt.Sprintf("Step %d", i)})
		w.must(err)
	}
	w.publish(job)
	done := w.check(repo, "success")
	if most := 2 + int(time.Since(began)/(3*time.Second)); len(done.History) > most {
		t.Errorf("GitHub was told %d times within %s: %v", len(done.History), time.Since(began), done.History)
	}
}

// Without GitHub's API a job gets the token that its build was read with, and a public repository needs none.
func TestBuildsGoOnWithoutNewTokens(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]githubtest.Fault{
		"bad gateway":     {Status: http.StatusBadGateway},
		"too many":        {Status: http.StatusTooManyRequests},
		"secondary limit": {Status: http.StatusForbidden, RetryAfter: 60, Secondary: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			repo := w.repo("widget", true)
			repo.Tag(false, "v1.0.0")
			w.eventually("the job to wait for a worker", func() bool {
				row := w.tag(repo, "v1.0.0", github.TagWaiting)
				if len(row.Builds) == 0 {
					return false
				}
				build, err := w.owner.Build(t.Context(), row.Builds[0].BuildID)
				return err == nil && build.Jobs[0].State == client.JobQueued
			})
			w.gh.Fail("access_tokens", fault)
			job := w.claim()
			if job.Token == "" || job.Job.Attempt != 1 {
				t.Errorf("attempt %d has a token: %t", job.Job.Attempt, job.Token != "")
			}
			w.publish(job)
			w.gh.Heal()
			w.check(repo, "success")
		})
	}
}

// A sweep that GitHub sends away ends there, and the next one finds everything.
func TestASweepThatIsSentAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := w.repo("widget", false)
	repo.Tag(false, "v1.0.0", "v1.0.1", "v1.0.2", "v1.0.3")
	w.gh.Fail("matching-refs", githubtest.Fault{Status: http.StatusForbidden, RetryAfter: 1, Secondary: true, Times: 1})
	if swept, err := w.github.Sync(t.Context(), ""); err == nil || swept.Tags != 0 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	w.eventually("a sweep that GitHub lets through", func() bool {
		swept, err := w.github.Sync(t.Context(), "")
		return err == nil && swept.Tags == 4
	})
}
