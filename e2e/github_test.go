package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/module"
)

// hub is one farm, as a process of its own with a real worker, and the GitHub beside it. Between them is nothing but
// HTTP and git; the test does what people do: git, pressing buttons at GitHub, and the modfarm program.
type hub struct {
	farm   *road.Farm
	client *client.Client
	gh     *githubtest.Server
	binary string
	repos  map[string]*githubtest.Repo
}

// openHub starts both, makes the App as a person does in a browser, and installs it on the account acme.
func openHub(t *testing.T) *hub {
	t.Helper()
	cfg := upConfig(t)
	h := &hub{gh: githubtest.Start(t), binary: cfg.Modfarm, repos: map[string]*githubtest.Repo{}}
	worker := "hub-" + strings.ToLower(rand.Text()[:8])
	// One build at a time: a case can keep another's job waiting.
	cfg.UpArgs = append(cfg.UpArgs, "--name", worker, "--slots", "1", "--log-level", "debug")
	var err error
	if h.farm, err = road.StartFarm(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCaches(t, worker) }) // after the next line
	t.Cleanup(func() {
		h.gh.Deliver("") // the test is over
		if err := h.farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	if h.client, err = h.farm.Client(); err != nil {
		t.Fatal(err)
	}
	h.setUp(t)
	return h
}

// run runs the program as its user.
func (h *hub) run(t *testing.T, args ...string) string {
	t.Helper()
	id, secret := h.farm.Key()
	cmd := exec.CommandContext(t.Context(), h.binary, args...)
	cmd.Env = append(os.Environ(), "MODFARM_URL="+h.farm.URL(), "MODFARM_KEY_ID="+id, "MODFARM_KEY="+secret)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("modfarm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// setUp makes the App: the page of the command, its button, GitHub's, and the way back.
func (h *hub) setUp(t *testing.T) {
	t.Helper()
	page := strings.TrimSpace(h.run(t, "github", "setup", "--name", "Acme builds", "--github-url", h.gh.URL, "--detach"))
	body := h.visit(t, http.MethodGet, page, nil)
	_, action, _ := strings.Cut(body, `action="`)
	action, _, _ = strings.Cut(action, `"`)
	_, manifest, _ := strings.Cut(body, `name="manifest" value="`)
	manifest, _, _ = strings.Cut(manifest, `"`)
	done := h.visit(t, http.MethodPost, html.UnescapeString(action), url.Values{"manifest": {html.UnescapeString(manifest)}})
	if !strings.Contains(done, "is set up") {
		t.Fatalf("the last page of the setup:\n%s", done)
	}
	if status := h.run(t, "github", "status"); !strings.Contains(status, "all is well") || !strings.Contains(status, "installed nowhere") {
		t.Errorf("status after the setup:\n%s", status)
	}
}

func (h *hub) visit(t *testing.T, method, to string, form url.Values) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// repo makes acme/<name> with the module acme:<name> in its root.
func (h *hub) repo(t *testing.T, name string, private bool, files map[string]string) {
	t.Helper()
	h.run(t, "module", "create", "acme:"+name)
	if files["meta.json"] == "" {
		files["meta.json"] = h.meta(t, name)
	}
	h.repos[name] = h.gh.NewRepo("acme", name, private)
	h.repos[name].Commit(files)
}

func (h *hub) meta(t *testing.T, name string) string {
	t.Helper()
	return metaOf(t, module.ID{Namespace: road.Namespace, Name: name}, "sh build.sh", nil)
}

// hubTime bounds one step of a case.
const hubTime = 3 * time.Minute

func (h *hub) eventually(t *testing.T, what string, ok func() bool, now func() string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(hubTime); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(h.farm.LogFile())
			t.Fatalf("waited in vain for %s: %s\nthe farm's log:\n%s", what, now(), end(string(text)))
		}
	}
}

// check waits until the newest check run on a repository is in a state, or over with a conclusion.
func (h *hub) check(t *testing.T, name, state string) githubtest.CheckRun {
	t.Helper()
	var last githubtest.CheckRun
	h.eventually(t, "a check of "+name+" that is "+state, func() bool {
		runs := h.gh.CheckRuns(h.repos[name])
		if len(runs) == 0 {
			return false
		}
		last = runs[len(runs)-1]
		return last.Conclusion == state || last.Conclusion == "" && last.Status == state
	}, func() string { return fmt.Sprintf("%s %s %q", last.Status, last.Conclusion, last.Output.Title) })
	return last
}

// tag waits until the ledger, as a user reads it, has a tag in a state.
func (h *hub) tag(t *testing.T, name, tag, state string) client.GitHubTag {
	t.Helper()
	var found client.GitHubTag
	h.eventually(t, tag+" of "+name+" to be "+state, func() bool {
		var list []client.GitHubTag
		if err := json.Unmarshal([]byte(h.run(t, "github", "tags", "--repository", "acme/"+name, "--json")), &list); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(row client.GitHubTag) bool { return row.Tag == tag })
		if i >= 0 {
			found = list[i]
		}
		return found.State == state
	}, func() string { return found.State + " " + found.Reason })
	return found
}

// job is the only job of a tag's only build.
func (h *hub) job(t *testing.T, row client.GitHubTag) client.Job {
	t.Helper()
	if len(row.BuildIDs) != 1 {
		t.Fatalf("the tag %s has the builds %q, want one", row.Tag, row.BuildIDs)
	}
	build, err := h.client.Build(t.Context(), row.BuildIDs[0])
	if err != nil {
		t.Fatal(err)
	}
	return build.Jobs[0]
}

// hello leaves a good module.
const hello = "mkdir -p dist && printf '#!/bin/sh\\necho hello\\n' > dist/main && chmod 755 dist/main\n"

// TestGitHub takes tags from git to published releases and checks, and everything that goes wrong on the way.
func TestGitHub(t *testing.T) {
	t.Parallel()
	h := openHub(t)
	h.repo(t, "tagged", true, map[string]string{"build.sh": "sleep 7\n" + hello})
	h.repo(t, "broken", false, map[string]string{
		"build.sh": "gcc -Wall -o main src/main.c\n", "src/main.c": "int main(void)\n{\n\treturn missing;\n}\n",
	})
	h.repo(t, "four", false, map[string]string{"build.sh": hello})
	h.repo(t, "slow", true, map[string]string{"build.sh": "sleep 600\n"})
	h.repo(t, "lost", false, map[string]string{"build.sh": hello})
	h.repo(t, "expiring", true, map[string]string{"build.sh": hello})
	h.repo(t, "strange", false, map[string]string{"build.sh": hello})
	h.run(t, "module", "create", "acme:arm")
	h.run(t, "module", "create", "acme:leg")
	h.repos["robot"] = h.gh.NewRepo("acme", "robot", false)
	h.repos["robot"].Commit(map[string]string{
		"arm/meta.json": h.meta(t, "arm"), "arm/build.sh": "exit 1\n", "leg/meta.json": h.meta(t, "leg"), "leg/build.sh": hello,
	})
	h.gh.Install("acme")
	h.eventually(t, "the repositories to be linked with their modules", func() bool {
		status, err := h.client.GitHub(t.Context(), false)
		return err == nil && len(status.Repositories) == len(h.repos) &&
			!slices.ContainsFunc(status.Repositories, func(r client.GitHubRepository) bool { return r.SweptAt.IsZero() || len(r.Modules) == 0 })
	}, func() string { return h.run(t, "github", "status") })

	t.Run("published", h.published)
	t.Run("a compile error", h.compileError)
	t.Run("cancelled while another's token ends", h.cancelled)
	t.Run("four tags at once", h.fourTags)
	t.Run("a lost message", h.lostMessage)
	t.Run("several modules", h.severalModules)
	t.Run("strange names", h.strangeNames)
	h.noTokens(t)
}

// noTokens looks for tokens where people could read them.
func (h *hub) noTokens(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(h.farm.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	tokens := h.gh.Tokens()
	if len(tokens) < len(h.repos) {
		t.Errorf("only %d tokens were minted", len(tokens))
	}
	for _, token := range tokens {
		if strings.Contains(string(text), token.Value) {
			t.Errorf("the farm's log holds the token of %v", token.Repos)
		}
	}
}
