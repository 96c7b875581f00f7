package github_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
)

// servers is one PostgreSQL for all tests.
var servers *storetest.Servers

func TestMain(m *testing.M) {
	var err error
	if servers, err = storetest.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := servers.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// onEach runs a test on every database.
func onEach(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			test(newWorldOn(t, dialect))
		})
	}
}

// world is a farm, the GitHub beside it, and a worker in the test's hands. Everything between them is real HTTP.
type world struct {
	t        *testing.T
	gh       *githubtest.Server
	url      string
	org      account.Org
	accounts *account.Accounts
	registry *registry.Registry
	farm     *farm.Farm
	github   *github.GitHub
	links    *farm.Links
	worker   *client.Client
	owner    *client.Client
}

// never keeps the background sweep from helping: tests sweep when they mean to.
const never = time.Hour

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, "sqlite")
}

func newWorldOn(t *testing.T, dialect string) *world {
	t.Helper()
	w := &world{t: t, gh: githubtest.Start(t)}
	dir, ctx := t.TempDir(), t.Context()
	db := servers.Open(t, dialect)
	blobs, err := registry.NewFolder(filepath.Join(dir, "blobs"))
	w.must(err)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	w.must(err)
	w.url = "http://" + listener.Addr().String()
	key, log := account.NewFarmKey(), slog.New(slog.DiscardHandler)
	w.accounts = &account.Accounts{Store: db, Secret: key}
	var keyID, secret string
	w.org, keyID, secret, _, err = w.accounts.Bootstrap(ctx, "Acme", "acme")
	w.must(err)
	w.registry = &registry.Registry{Store: db, Blobs: blobs}
	w.farm = &farm.Farm{
		Store: db, Modules: modules{w.registry}, Source: repositories{&source.Git{}}, Publisher: w.registry, Sealer: key.Sealer("checkout-token"), Log: log,
	}
	w.github = &github.GitHub{
		Store: db, Builds: w.farm, Organizations: orgs{w.accounts}, Modules: modules{w.registry}, Sealer: key.Sealer("github-app"),
		PublicURL: w.url, LogKey: key.SubKey("github-links"), SweepEvery: never, Log: log,
	}
	w.farm.Tokens = w.github
	w.links = &farm.Links{Store: db}
	w.serve(listener, api.New(api.Config{
		Farm: w.farm, Registry: w.registry, Accounts: w.accounts, GitHub: w.github, Links: w.links, WorkerToken: apitest.WorkerToken, PublicURL: w.url, Log: log,
	}))
	w.worker, err = client.New(client.Config{URL: w.url, WorkerToken: apitest.WorkerToken})
	w.must(err)
	w.owner, err = client.New(client.Config{URL: w.url, KeyID: keyID, Key: secret})
	w.must(err)
	w.setApp()
	w.gh.Deliver(w.url + github.WebhookPath)
	return w
}

// serve runs everything until the test ends.
func (w *world) serve(l net.Listener, h http.Handler) {
	server := api.NewServer(h, nil)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			w.t.Errorf("serve: %v", err)
		}
	})
	running.Go(func() { _ = w.farm.Run(ctx) })
	running.Go(func() { _ = w.github.Run(ctx) })
	w.t.Cleanup(func() {
		w.gh.Deliver("")
		_ = server.Close() // its connections are the test's own
		cancel()
		running.Wait()
	})
}

// setApp gives the farm the App without a browser.
func (w *world) setApp() {
	w.t.Helper()
	app := w.gh.App
	w.must(w.github.SetApp(w.t.Context(), github.App{
		ID: app.ID, Slug: app.Slug, Name: app.Name, PageURL: w.gh.URL + "/apps/" + app.Slug, WebURL: w.gh.URL, APIURL: w.gh.APIURL(), CreatedAt: time.Now(),
	}, github.AppSecrets{PrivateKey: app.PrivateKey, WebhookSecrets: []string{app.WebhookSecret}}))
}

// repo is acme/<name> with the module acme:<name> in its root, covered by an installation on acme.
func (w *world) repo(name string, private bool) *githubtest.Repo {
	w.t.Helper()
	repo := w.gh.NewRepo("acme", name, private)
	repo.Commit(map[string]string{"meta.json": meta("acme:" + name), "main.c": "int main(void) { return 0; }\n"})
	w.module(name)
	w.gh.Install("acme", name)
	w.eventually("the first look at the tags", func() bool {
		list, err := w.github.Repositories(w.t.Context(), w.org.ID)
		w.must(err)
		for _, r := range list {
			if r.FullName == "acme/"+name {
				return !r.BaselineAt.IsZero()
			}
		}
		return false
	})
	return repo
}

func (w *world) module(name string) {
	w.t.Helper()
	_, err := w.registry.CreateModule(w.t.Context(), w.org.ID, name)
	w.must(err)
}

func meta(id string) string {
	namespace, name, _ := strings.Cut(id, ":")
	return fmt.Sprintf(`{"module_id": %q, "visibility": "private", "url": "", "description": "a case",
		"models": [{"api": "rdk:component:sensor", "model": "%s:%s:m"}], "entrypoint": "run.sh",
		"build": {"build": "make", "path": "dist", "arch": ["linux/amd64"]}}`, id, namespace, name)
}

// tag waits until the ledger has a tag in one of the states.
func (w *world) tag(repo *githubtest.Repo, name string, states ...github.TagState) github.Tag {
	w.t.Helper()
	var found github.Tag
	w.eventually(fmt.Sprintf("%s of %s to be %v", name, repo.FullName(), states), func() bool {
		list, err := w.github.Tags(w.t.Context(), github.TagFilter{RepoID: repo.ID, Limit: -1})
		w.must(err)
		for _, t := range list {
			if t.Name != name {
				continue
			}
			found = t
			if slices.Contains(states, t.State) {
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("it is %s (%s)", found.State, found.Reason) })
	return found
}

// check waits until the newest check run of a repository has come to a status or conclusion.
func (w *world) check(repo *githubtest.Repo, state string) githubtest.CheckRun {
	w.t.Helper()
	var last githubtest.CheckRun
	w.eventually("a check that is "+state, func() bool {
		runs := w.gh.CheckRuns(repo)
		if len(runs) == 0 {
			return false
		}
		last = runs[len(runs)-1]
		return last.Conclusion == state || last.Conclusion == "" && last.Status == state
	}, func() string { return fmt.Sprintf("it is %s %s: %s", last.Status, last.Conclusion, last.Output.Title) })
	return last
}

// claim takes the next job.
func (w *world) claim() *client.Assignment {
	w.t.Helper()
	var got *client.Assignment
	w.eventually("a job to claim", func() bool {
		a, err := w.worker.Claim(w.t.Context(), client.Worker{Name: "w1", Native: []module.Platform{{OS: "linux", Arch: "amd64"}}})
		w.must(err)
		got = a
		return a != nil
	}, func() string {
		tags, _ := w.github.Tags(w.t.Context(), github.TagFilter{})
		return fmt.Sprintf("tags: %+v", tags)
	})
	return got
}

func (w *world) log(a *client.Assignment, text string) {
	w.t.Helper()
	_, err := w.worker.AppendLog(w.t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: a.Job.LogSize, Step: "Build", Data: []byte(text)})
	w.must(err)
}

// publish sends the archive of a job.
func (w *world) publish(a *client.Assignment) {
	w.t.Helper()
	file := apitest.Archive(w.t,
		apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(meta(a.Build.Module.String()))},
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\n# " + a.Build.Version.String() + "\n")},
	)
	_, err := w.worker.PutArchive(w.t.Context(), a.Lease.LeaseRef, module.StrategyNative, bytes.NewReader(file), nil)
	w.must(err)
	w.finish(a, client.Outcome{Kind: client.OutcomeDone})
}

func (w *world) finish(a *client.Assignment, o client.Outcome) {
	w.t.Helper()
	o.Strategy = module.StrategyNative
	_, err := w.worker.Finish(w.t.Context(), a.Lease.LeaseRef, o)
	w.must(err)
}

// patience is long: other tests have the processors, too.
const patience = time.Minute

func (w *world) eventually(what string, ok func() bool, or ...func() string) {
	w.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-again.C {
		if time.Now().After(deadline) {
			text := ""
			for _, f := range or {
				text = f()
			}
			w.t.Fatalf("waited in vain for %s; %s", what, text)
		}
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

type modules struct{ r *registry.Registry }

func (m modules) Lookup(ctx context.Context, id module.ID) (module.ID, string, error) {
	found, err := m.r.Module(ctx, registry.ForFarm(), id)
	return found.ID(), found.OrgID, err
}

type orgs struct{ a *account.Accounts }

func (o orgs) OrgIDs(ctx context.Context) (ids []string, err error) {
	list, err := o.a.Orgs(ctx)
	for _, org := range list {
		ids = append(ids, org.ID)
	}
	return ids, err
}

type repositories struct{ git *source.Git }

func (r repositories) Resolve(ctx context.Context, repo, ref, token string) (string, error) {
	return r.git.Resolve(ctx, source.Repository{URL: repo, Token: token}, ref)
}

func (r repositories) ReadFiles(ctx context.Context, repo, commit, token string, paths []string) (map[string][]byte, error) {
	const most = 1 << 20
	return r.git.ReadFiles(ctx, source.Repository{URL: repo, Token: token}, commit, paths, most)
}
