package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/module"
)

// published is the good road, of a private repository and an annotated tag, whose messages come twice; then the tag is
// moved. GitHub's checks are away meanwhile and catch up.
func (h *hub) published(t *testing.T) {
	h.gh.Double(2)
	h.repos["tagged"].Tag(true, "v1.0.0")
	h.check(t, "tagged", "in_progress")
	h.gh.Fail("PATCH /repos/acme/tagged/check-runs", githubtest.Fault{Status: http.StatusBadGateway, Times: 1})
	done := h.check(t, "tagged", "success")
	row := h.tag(t, "tagged", "v1.0.0", "built")
	job := h.job(t, row) // one, although everything was told twice
	for _, want := range []string{"acme:tagged", job.Platform.String(), "| Strategy | native |", "| Size | ", job.Release.SHA256} {
		if !strings.Contains(done.Output.Summary, want) {
			t.Errorf("the summary lacks %q:\n%s", want, done.Output.Summary)
		}
	}
	if !slices.Contains(done.Titles, "Running: Build") {
		t.Errorf("the check never told the step; it said %q", done.Titles)
	}
	narrow := slices.ContainsFunc(h.gh.Tokens(), func(token githubtest.Token) bool {
		return slices.Equal(token.Repos, []string{"acme/tagged"}) && len(token.Permissions) == 1 && token.Permissions["contents"] == "read"
	})
	if !narrow {
		t.Error("no token was minted that reads this one repository and nothing else")
	}
	if log := h.visit(t, http.MethodGet, done.DetailsURL, nil); !strings.Contains(log, "fetching") {
		t.Errorf("the log behind the check:\n%s", log)
	}

	h.repos["tagged"].Commit(map[string]string{"README.md": "another commit"})
	h.repos["tagged"].Tag(true, "v1.0.0")
	h.tag(t, "tagged", "v1.0.0", "refused")
	if table := h.run(t, "github", "tags"); !strings.Contains(table, "refused, moved") || !strings.Contains(table, "a version never changes") {
		t.Errorf("the ledger does not flag the moved tag:\n%s", table)
	}
}

// compileError shows the error on its line, and builds the platform again when somebody asks for that at GitHub.
func (h *hub) compileError(t *testing.T) {
	h.repos["broken"].Tag(false, "v1.0.0")
	failed := h.check(t, "broken", "failure")
	if len(failed.Annotations) == 0 || failed.Annotations[0].Path != "src/main.c" || failed.Annotations[0].StartLine != 3 ||
		!strings.Contains(failed.Annotations[0].Message, "missing") {
		t.Errorf("annotations %+v", failed.Annotations)
	}
	before := h.job(t, h.tag(t, "broken", "v1.0.0", "failed"))
	h.gh.Rerun(failed.ID)
	var again githubtest.CheckRun
	h.eventually(t, "another check run", func() bool {
		runs := h.gh.CheckRuns(h.repos["broken"])
		again = runs[len(runs)-1]
		return again.ID != failed.ID && again.Conclusion == "failure"
	}, func() string { return again.Output.Title })
	if job := h.job(t, h.tag(t, "broken", "v1.0.0", "failed")); job.ID != before.ID || !job.EndedAt.After(before.EndedAt) {
		t.Errorf("the job %s, ended at %s; want %s again, which ended at %s", job.ID, job.EndedAt, before.ID, before.EndedAt)
	}
}

// cancelled ends a build in the hands of the worker. The next one's token ends in the middle of its fetch.
func (h *hub) cancelled(t *testing.T) {
	h.repos["slow"].Tag(false, "v1.0.0")
	h.check(t, "slow", "in_progress")
	build := h.tag(t, "slow", "v1.0.0", "waiting").BuildIDs[0]
	h.repos["expiring"].Tag(false, "v1.0.0")
	h.eventually(t, "the second build to wait for the worker", func() bool {
		row := h.tag(t, "expiring", "v1.0.0", "waiting")
		return len(row.BuildIDs) == 1 && h.job(t, row).State == client.JobQueued
	}, func() string { return "" })
	// From here on only the worker fetches: its first request for a pack finds the token too old.
	h.gh.Fail("POST /acme/expiring.git/git-upload-pack", githubtest.Fault{Expire: true, Times: 1})
	h.run(t, "module", "build", "cancel", build)
	h.check(t, "slow", "cancelled")
	if row := h.tag(t, "slow", "v1.0.0", "failed"); !strings.Contains(row.Reason, "cancelled") {
		t.Errorf("reason: %s", row.Reason)
	}
	done := h.check(t, "expiring", "success")
	job := h.job(t, h.tag(t, "expiring", "v1.0.0", "built"))
	if job.Attempt != 1 {
		t.Errorf("attempt %d: a token that ends costs none", job.Attempt)
	}
	log := h.visit(t, http.MethodGet, done.DetailsURL, nil)
	if !strings.Contains(log, "fetching again with a new one") {
		t.Errorf("the log does not tell of the new token:\n%s", log)
	}
	for _, token := range h.gh.Tokens() {
		if strings.Contains(log, token.Value) {
			t.Error("the log holds a token")
		}
	}
}

// fourTags are pushed at once, of which GitHub tells nobody.
func (h *hub) fourTags(t *testing.T) {
	tags := []string{"v1.0.0", "v1.0.1", "v1.0.2", "v1.0.3"}
	h.repos["four"].Tag(false, tags...)
	if out := h.run(t, "github", "sync"); !strings.Contains(out, "4 tags to look at") {
		t.Errorf("the comparison found: %s", out)
	}
	for _, tag := range tags {
		if row := h.tag(t, "four", tag, "built"); row.Source != "sweep" {
			t.Errorf("%s was seen by %s", tag, row.Source)
		}
	}
}

// lostMessage is asked for again, and then acted on once.
func (h *hub) lostMessage(t *testing.T) {
	h.gh.Lose(2) // create and push
	h.repos["lost"].Tag(false, "v1.0.0")
	if out := h.run(t, "github", "sync"); !strings.Contains(out, "2 messages asked for again") {
		t.Errorf("the comparison found: %s", out)
	}
	h.job(t, h.tag(t, "lost", "v1.0.0", "built"))
	h.eventually(t, "both messages to arrive", func() bool {
		list, err := h.client.GitHubDeliveries(t.Context(), 2)
		return err == nil && list[0].Event != list[1].Event && !slices.ContainsFunc(list, func(d client.GitHubDelivery) bool {
			return d.DoneAt.IsZero() || d.Event != "push" && d.Event != "create"
		})
	}, func() string { return h.run(t, "github", "deliveries") })
	h.job(t, h.tag(t, "lost", "v1.0.0", "built"))
}

// severalModules of one repository: a tag with a name builds that one alone.
func (h *hub) severalModules(t *testing.T) {
	h.repos["robot"].Tag(false, "leg/v1.2.3")
	h.job(t, h.tag(t, "robot", "leg/v1.2.3", "built"))
	id, version := module.ID{Namespace: "acme", Name: "leg"}, "1.2.3"
	info, err := h.client.Module(t.Context(), id)
	if err != nil || len(info.Versions) != 1 || info.Versions[0].Version.String() != version {
		t.Errorf("%s has the versions %+v, %v; want %s", id, info.Versions, err, version)
	}
}

// strangeNames are git's and nobody else's: they are refused, and shown on one line.
func (h *hub) strangeNames(t *testing.T) {
	for _, tag := range []string{"$(reboot)", "v1.0.0-🚀", strings.Repeat("x", 240)} {
		h.repos["strange"].Tag(false, tag)
		if row := h.tag(t, "strange", tag, "refused"); !strings.Contains(row.Reason, "is no version") || len(row.Reason) > 300 {
			t.Errorf("%q: %s", tag, row.Reason)
		}
	}
	h.repos["strange"].SignedTag("v2.0.0")
	h.job(t, h.tag(t, "strange", "v2.0.0", "built"))
}
