package pictures_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/farm/redis/redistest"
	"github.com/modfarm/modfarm/module"
)

const (
	// root is the checkout as seen from this package.
	root = "../.."
	// publicURL is what the farm of the pictures calls itself; it listens on loopback.
	publicURL = "https://farm.example.com"
	appName   = "Acme builds"
	// patience is long: other tests have the processors, too.
	patience = 2 * time.Minute
)

// farm is a "modfarm serve" with a GitHub beside it and a worker in the test's hands.
type farm struct {
	t      *testing.T
	gh     *githubtest.Server
	farm   *road.Farm
	owner  *client.Client
	worker *client.Client
}

func startFarm(t *testing.T) *farm {
	t.Helper()
	dir := t.TempDir()
	f := &farm{t: t, gh: githubtest.Start(t)}
	program := filepath.Join(dir, "modfarm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/modfarm")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build.Args, err, out)
	}
	var err error
	f.farm, err = road.StartServe(t.Context(), road.Config{Dir: dir, Modfarm: program, UpArgs: []string{"--public-url", publicURL}}, redistest.Start(t).URL())
	f.must(err)
	t.Cleanup(func() {
		f.gh.Deliver("")
		if err := f.farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	f.owner, err = f.farm.Client()
	f.must(err)
	token, err := os.ReadFile(filepath.Join(f.farm.Dir(), "worker.token"))
	f.must(err)
	f.worker, err = client.New(client.Config{URL: f.farm.URL(), WorkerToken: strings.TrimSpace(string(token))})
	f.must(err)
	return f
}

// here is an address of the farm as this machine reaches it.
func (f *farm) here(address string) string {
	f.t.Helper()
	path, ok := strings.CutPrefix(address, publicURL)
	if !ok {
		f.t.Fatalf("%s is no address of the farm", address)
	}
	return f.farm.URL() + path
}

// beginSetup is what 'modfarm github setup' prints.
func (f *farm) beginSetup(github string) string {
	f.t.Helper()
	page, err := f.owner.BeginGitHubSetup(f.t.Context(), appName, "acme", github)
	f.must(err)
	return f.here(page)
}

// manifest is what the farm asks GitHub for.
type manifest struct {
	Name        string
	Permissions map[string]string    `json:"default_permissions"`
	Events      []string             `json:"default_events"`
	Hook        struct{ URL string } `json:"hook_attributes"`
}

// readManifest reads it from the setup's first page.
func (f *farm) readManifest(page string) (m manifest) {
	f.t.Helper()
	f.must(json.Unmarshal([]byte(f.attribute(page, `name="manifest" value="`)), &m))
	return m
}

// confirm presses the button of the setup's first page, and then GitHub's; a browser goes on at the returned address.
func (f *farm) confirm(page string) (back string) {
	f.t.Helper()
	form := url.Values{"manifest": {f.attribute(page, `name="manifest" value="`)}}
	answer := f.do(http.MethodPost, f.attribute(page, `action="`), strings.NewReader(form.Encode()))
	defer answer.Body.Close()
	back = f.here(answer.Header.Get("Location"))
	return back
}

// attribute is the value of the first attribute that begins so.
func (f *farm) attribute(page, begin string) string {
	f.t.Helper()
	_, rest, ok := strings.Cut(page, begin)
	value, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		f.t.Fatalf("the page has no %s:\n%s", begin, page)
	}
	return html.UnescapeString(value)
}

func (f *farm) get(address string) string {
	f.t.Helper()
	answer := f.do(http.MethodGet, address, http.NoBody)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	f.must(err)
	if answer.StatusCode != http.StatusOK {
		f.t.Fatalf("%s answers %s:\n%s", address, answer.Status, text)
	}
	return string(text)
}

func (f *farm) do(method, address string, body io.Reader) *http.Response {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	f.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	f.must(err)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := c.Do(request)
	f.must(err)
	return answer
}

// platforms are those of the module, in the order in which their builds go on.
func platforms() []module.Platform {
	return []module.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}, {OS: "linux", Arch: "arm32v7"}}
}

// repository is acme/widget with the module acme:widget, on which the App is installed.
func (f *farm) repository() *githubtest.Repo {
	f.t.Helper()
	f.gh.Deliver(f.farm.URL() + "/webhooks/github")
	orgs, err := f.owner.Login(f.t.Context())
	f.must(err)
	_, err = f.owner.CreateModule(f.t.Context(), orgs[0].ID, "widget")
	f.must(err)
	repo := f.gh.NewRepo("acme", "widget", false)
	repo.Commit(map[string]string{"meta.json": meta(), "main.c": "innt main(void) { return 0; }\n"})
	f.gh.Install("acme", "widget")
	f.eventually("the first look at the tags", func() bool {
		status, err := f.owner.GitHub(f.t.Context(), false)
		f.must(err)
		return len(status.Repositories) == 1 && !status.Repositories[0].SweptAt.IsZero()
	})
	return repo
}

func meta() string {
	names := []string{}
	for _, p := range platforms() {
		names = append(names, fmt.Sprintf("%q", p))
	}
	return fmt.Sprintf(`{"module_id": "acme:widget", "visibility": "private", "url": "", "description": "a widget",
		"models": [{"api": "rdk:component:sensor", "model": "acme:widget:m"}], "entrypoint": "run.sh",
		"build": {"build": "make", "path": "dist", "arch": [%s]}}`, strings.Join(names, ", "))
}

// claim takes the job of a platform.
func (f *farm) claim(p module.Platform) *client.Assignment {
	f.t.Helper()
	var got *client.Assignment
	f.eventually("a job for "+p.String(), func() (ok bool) {
		a, err := f.worker.Claim(f.t.Context(), client.Worker{Name: "builder-1", Native: []module.Platform{p}})
		f.must(err)
		got = a
		return a != nil
	})
	return got
}

// step tells what the worker does, with a piece of log.
func (f *farm) step(a *client.Assignment, step, log string) {
	f.t.Helper()
	_, err := f.worker.AppendLog(f.t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: a.Job.LogSize, Step: step, Data: []byte(log)})
	f.must(err)
	_, err = f.worker.Extend(f.t.Context(), a.Lease.LeaseRef, client.Progress{Step: step, Strategy: module.StrategyNative})
	f.must(err)
}

func (f *farm) publish(a *client.Assignment) {
	f.t.Helper()
	file := apitest.Archive(f.t,
		apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(meta())},
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\n# " + a.Job.Platform.String() + "\n")},
	)
	_, err := f.worker.PutArchive(f.t.Context(), a.Lease.LeaseRef, module.StrategyNative, bytes.NewReader(file), nil)
	f.must(err)
	f.finish(a, client.Outcome{Kind: client.OutcomeDone})
}

func (f *farm) finish(a *client.Assignment, o client.Outcome) {
	f.t.Helper()
	o.Strategy = module.StrategyNative
	_, err := f.worker.Finish(f.t.Context(), a.Lease.LeaseRef, o)
	f.must(err)
}

// checks waits until the check runs of a repository, by platform, are in these states or conclusions and their titles
// begin so: a check is opened with its first title and has the lasting one a moment later.
func (f *farm) checks(repo *githubtest.Repo, want ...string) []githubtest.CheckRun {
	f.t.Helper()
	var found []githubtest.CheckRun
	have := ""
	f.eventually("checks that are "+strings.Join(want, ", "), func() bool {
		found = make([]githubtest.CheckRun, len(want))
		var states []string
		for _, c := range f.gh.CheckRuns(repo) {
			for i, p := range platforms()[:len(want)] {
				if strings.HasSuffix(c.Name, " "+p.String()) {
					found[i] = c
				}
			}
		}
		for _, c := range found {
			states = append(states, cmp.Or(c.Conclusion, c.Status)+": "+c.Output.Title)
		}
		have = strings.Join(states, ", ")
		return slices.EqualFunc(states, want, strings.HasPrefix)
	}, func() string { return "they are " + have })
	return found
}

func (f *farm) eventually(what string, ok func() bool, or ...func() string) {
	f.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-again.C {
		if time.Now().After(deadline) {
			text := ""
			for _, say := range or {
				text = say()
			}
			f.t.Fatalf("waited in vain for %s; %s", what, text)
		}
	}
}

func (f *farm) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}
