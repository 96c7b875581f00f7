package e2e_test

import (
	"context"
	"crypto/rand"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	"github.com/modfarm/modfarm/proto/gen/proto/rpc/v1/rpcv1connect"
)

// yardToken opens the repositories of a yard's private git server.
const yardToken = "yard-checkout-token-1f7c0d5b2a94"

// yard is one farm, as a process of its own, that many cases share: what one
// hostile module does must not disturb the others.
type yard struct {
	farm   *road.Farm
	client *client.Client
	org    string
	binary string
	worker string // unique, so that only its own containers are looked at

	repos        string
	open, closed *gittest.Server // the same repositories, without and with a token
}

// openYard starts a farm with small limits. It ends with the test.
func openYard(t *testing.T, upArgs ...string) *yard {
	t.Helper()
	cfg := upConfig(t)
	y := &yard{binary: cfg.Modfarm, worker: "yard-" + strings.ToLower(rand.Text()[:8]), repos: t.TempDir()}
	cfg.UpArgs = append(append(cfg.UpArgs, "--name", y.worker, "--log-level", "debug"), upArgs...)
	var err error
	if y.open, err = gittest.NewServer(y.repos); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = y.open.Close() })
	if y.closed, err = gittest.NewServer(y.repos, yardToken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = y.closed.Close() })
	if y.farm, err = road.StartFarm(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCaches(t, y.worker) }) // after the next line
	t.Cleanup(func() {
		if err := y.farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	if y.client, err = y.farm.Client(); err != nil {
		t.Fatal(err)
	}
	orgs, err := y.client.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y.org = orgs[0].ID
	return y
}

// badCase is one bad input and how its way has to end. A good one ends published.
type badCase struct {
	// name is the subtest's, and the module's.
	name string
	// files of the repository. Where meta.json is not among them, a good one that
	// runs build is added.
	files map[string]string
	// build is the build command; ./build.sh when empty.
	build string
	// meta changes the good meta.json.
	meta func(*module.Manifest)
	// prepare works on the repository before its one commit.
	prepare func(t *testing.T, y *yard, repo *gittest.Repo)
	// ask changes the request.
	ask func(y *yard, r *client.BuildRequest)
	// want is the final state, and says are the essential words of its sentence.
	want client.JobState
	says []string
	// after looks at what else must be true.
	after func(t *testing.T, y *yard, b client.Build, log string)
}

// run takes a case the whole road.
func (y *yard) run(t *testing.T, c badCase) {
	t.Helper()
	id := y.newModule(t, c.name)
	files := map[string]string{"meta.json": metaOf(t, id, c.build, c.meta)}
	maps.Copy(files, c.files)
	y.newRepo(t, c.name, func(repo *gittest.Repo) {
		if c.prepare != nil {
			c.prepare(t, y, repo)
		}
		if _, err := repo.Commit(t.Context(), files, "v1.0.0"); err != nil {
			t.Fatal(err)
		}
	})
	request := y.request(t, c.name)
	if c.ask != nil {
		c.ask(y, &request)
	}
	build, log := y.build(t, request)
	y.judge(t, build, log, c.want, c.says...)
	if c.after != nil {
		c.after(t, y, build, log)
	}
}

// newModule makes a module in the farm's organization.
func (y *yard) newModule(t *testing.T, name string) module.ID {
	t.Helper()
	id, err := y.client.CreateModule(t.Context(), y.org, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// newRepo makes the repository name.git on both git servers.
func (y *yard) newRepo(t *testing.T, name string, fill func(*gittest.Repo)) *gittest.Repo {
	t.Helper()
	repo, err := gittest.NewRepo(t.Context(), y.repos, name+".git", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fill(repo)
	return repo
}

// request asks for version 1.0.0 of the module name from the tag v1.0.0.
func (y *yard) request(t *testing.T, name string) client.BuildRequest {
	t.Helper()
	return client.BuildRequest{
		Module: module.ID{Namespace: road.Namespace, Name: name}, Version: version(t, "1.0.0"),
		Repo: y.open.URL + "/" + name + ".git", Ref: "v1.0.0", Platforms: []module.Platform{module.HostPlatform()},
	}
}

func version(t *testing.T, text string) module.Version {
	t.Helper()
	v, err := module.ParseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// buildTime bounds one case, with the waiting for a slot.
const buildTime = 4 * time.Minute

// build starts a build and follows its first job to the end.
func (y *yard) build(t *testing.T, request client.BuildRequest) (client.Build, string) {
	t.Helper()
	id, err := y.client.StartBuild(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return y.follow(t, id)
}

// follow waits for the end of a build and returns it with the log of its first
// job, as far as a reader would scroll.
func (y *yard) follow(t *testing.T, id string) (client.Build, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	build, err := y.client.Build(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	const most = 4 << 20
	var log strings.Builder
	err = y.client.FollowLog(ctx, build.Jobs[0].ID, 0, func(chunk client.LogChunk) error {
		if log.Len() < most {
			log.Write(chunk.Data)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("follow the log: %v", err)
	}
	if build, err = y.client.Build(ctx, id); err != nil {
		t.Fatal(err)
	}
	if !build.Done() {
		t.Fatalf("the log has ended and the build is %s (%s)", build.Jobs[0].State, build.Jobs[0].Reason)
	}
	return build, log.String()
}

// judge holds the end of a build against what is wanted of it.
func (y *yard) judge(t *testing.T, build client.Build, log string, want client.JobState, says ...string) {
	t.Helper()
	job := build.Jobs[0]
	t.Logf("%s: %s", job.State, job.Reason)
	if job.State != want {
		t.Errorf("the build ended %s, want %s (%s); its log:\n%s", job.State, want, job.Reason, end(log))
		return
	}
	checkSentence(t, job.Reason, says...)
	if job.Attempt > 1 {
		t.Errorf("attempt %d: what is wrong with a module is never tried again", job.Attempt)
	}
}

// checkSentence holds a reason to its form: one line, readable, with the words.
func checkSentence(t *testing.T, reason string, says ...string) {
	t.Helper()
	const most = 2000
	if strings.ContainsAny(reason, "\n\r") || len(reason) > most {
		t.Errorf("the reason is not one readable sentence (%d bytes): %s", len(reason), reason)
	}
	for _, want := range says {
		if !strings.Contains(reason, want) {
			t.Errorf("the reason does not say %q: %s", want, reason)
		}
	}
}

func end(log string) string {
	const most = 3000
	return log[max(0, len(log)-most):]
}

// goodBuild is a script that leaves a good module.
const goodBuild = "mkdir -p dist && printf '#!/bin/sh\\necho hello\\n' > dist/main && chmod 755 dist/main"

// metaOf is a good meta.json for the module, changed.
func metaOf(t *testing.T, id module.ID, build string, change func(*module.Manifest)) string {
	t.Helper()
	if build == "" {
		build = "./build.sh"
	}
	m := &module.Manifest{
		ID: id, Visibility: "private", URL: "https://github.com/acme/" + id.Name, Description: "Is a case",
		Models: []module.Model{{API: "rdk:component:sensor", Model: "acme:cases:" + id.Name}}, ModelsPresent: true,
		Entrypoint: "main", Build: module.BuildSpec{Build: build, Path: "dist", Arch: []module.Platform{module.HostPlatform()}},
	}
	if change != nil {
		change(m)
	}
	text, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cleanTime is how long a worker may take to clean up after a job: it tells the
// farm how the job ended first.
const cleanTime = 30 * time.Second

// clean waits until nothing of any build is left on the machine.
func (y *yard) clean(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(cleanTime); ; <-tick.C {
		left := y.left(t)
		switch {
		case len(left) == 0:
			return
		case time.Now().After(deadline):
			text, err := os.ReadFile(y.farm.LogFile())
			t.Fatalf("left behind: %s (%v)\nthe farm's log:\n%s", strings.Join(left, ", "), err, end(string(text)))
		}
	}
}

// left lists containers of the yard's worker and folders of its jobs, without
// what the worker keeps for the next build.
func (y *yard) left(t *testing.T) []string {
	t.Helper()
	all, err := road.LeftoversOf(t.Context(), y.worker)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, name := range all {
		if strings.HasPrefix(name, "container ") && !strings.Contains(name, "-spare-") {
			left = append(left, name)
		}
	}
	jobs, err := os.ReadDir(filepath.Join(y.farm.Dir(), "work", "jobs", y.worker))
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs {
		left = append(left, "folder "+job.Name())
	}
	return left
}

// stock is an HTTP client that is logged in as stock programs are.
func (y *yard) stock(t *testing.T) *http.Client {
	t.Helper()
	return &http.Client{Transport: bearer(y.accessToken(t))}
}

// accessToken is what a login with the farm's key gives.
func (y *yard) accessToken(t *testing.T) string {
	t.Helper()
	id, secret := y.farm.Key()
	answer, err := rpcv1connect.NewAuthServiceClient(http.DefaultClient, y.farm.URL()).Authenticate(t.Context(),
		&rpcv1.AuthenticateRequest{Entity: id, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: secret}})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetAccessToken()
}

// bearer adds a token to each request.
type bearer string

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}
