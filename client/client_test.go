package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
)

const (
	repo     = "https://git.example.com/acme/widget"
	commit   = "0123456789abcdef0123456789abcdef01234567"
	metaJSON = `{
		"module_id": "acme:widget", "visibility": "private", "url": "https://git.example.com/acme/widget",
		"description": "a widget", "models": [{"api": "rdk:component:sensor", "model": "acme:weather:indoor", "short_description": "reads the air"}],
		"entrypoint": "run.sh", "build": {"build": "make"}
	}`
)

var (
	amd64 = module.Platform{OS: "linux", Arch: "amd64"}
	arm64 = module.Platform{OS: "linux", Arch: "arm64"}
)

// world is a farm with a module and a tagged repository, a client of its owner and one of a worker.
type world struct {
	farm         *apitest.Farm
	user, worker *client.Client
	id           module.ID
	version      module.Version
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{farm: apitest.Start(t), id: module.ID{Namespace: "acme", Name: "widget"}}
	w.farm.Source.Push(repo, "v0.1.0", commit, metaJSON)
	w.user = w.client(t, w.farm.URL)
	w.worker = w.workerAt(t, w.farm.URL)
	var err error
	if w.version, err = module.ParseTag("v0.1.0"); err != nil {
		t.Fatal(err)
	}
	orgs, err := w.user.Login(t.Context())
	if err != nil || len(orgs) != 1 || orgs[0].Namespace != "acme" {
		t.Fatalf("login: %v, %v", orgs, err)
	}
	if id, err := w.user.CreateModule(t.Context(), orgs[0].ID, "widget"); err != nil || id != w.id {
		t.Fatalf("create: %v, %v", id, err)
	}
	return w
}

func (w *world) client(t *testing.T, url string) *client.Client {
	t.Helper()
	return newClient(t, client.Config{URL: url, KeyID: w.farm.KeyID, Key: w.farm.Key})
}

func (w *world) workerAt(t *testing.T, url string) *client.Client {
	t.Helper()
	return newClient(t, client.Config{URL: url, WorkerToken: apitest.WorkerToken})
}

func newClient(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// build starts a build and claims its job for linux/amd64.
func (w *world) build(t *testing.T, version module.Version) (string, *client.Assignment) {
	t.Helper()
	id, err := w.user.StartBuild(t.Context(), client.BuildRequest{
		Module: w.id, Version: version, Repo: repo, Ref: "v0.1.0", Platforms: []module.Platform{amd64},
	})
	if err != nil {
		t.Fatal(err)
	}
	var a *client.Assignment
	apitest.Eventually(t, "a job to claim", func() bool {
		if a, err = w.worker.Claim(t.Context(), client.Worker{Name: "w1", Native: []module.Platform{amd64}}); err != nil {
			t.Fatal(err)
		}
		return a != nil
	})
	return id, a
}

func archive(t *testing.T, size int) []byte {
	t.Helper()
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(rand.Uint32()) //nolint:gosec // noise
	}
	return apitest.Archive(t,
		apitest.Member{Name: "meta.json", Mode: 0o644, Data: []byte(metaJSON)},
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\n")},
		apitest.Member{Name: "noise", Mode: 0o644, Data: noise},
	)
}

// publish builds and publishes an archive.
func (w *world) publish(t *testing.T, size int) []byte {
	t.Helper()
	_, a := w.build(t, w.version)
	file := archive(t, size)
	if _, err := w.worker.PutArchive(t.Context(), a.Lease.LeaseRef, module.StrategyNative, bytes.NewReader(file), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.worker.Finish(t.Context(), a.Lease.LeaseRef, client.Outcome{Kind: client.OutcomeDone, Strategy: module.StrategyNative}); err != nil {
		t.Fatal(err)
	}
	return file
}

func versionsEqual() cmp.Option {
	return cmp.Comparer(func(a, b module.Version) bool { return a == b })
}

// TestRoad is everything that the command line does for one version.
func TestRoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	manifest, err := module.ParseManifest([]byte(metaJSON))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.user.UpdateModule(t.Context(), manifest, map[string]string{"": "# Widget"}); err != nil {
		t.Fatal(err)
	}
	file := w.publish(t, 1000)
	info, err := w.user.Module(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := w.user.Modules(t.Context()); err != nil || len(all) != 1 || all[0].ID != w.id || all[0].Latest() != w.version {
		t.Errorf("modules %+v, %v", all, err)
	}
	if published := info.Versions[0].PublishedAt; time.Since(published).Abs() > time.Minute {
		t.Errorf("published at %s", published)
	}
	if info.CreatedAt.IsZero() || info.UpdatedAt.Before(info.CreatedAt) {
		t.Errorf("created at %s, updated at %s", info.CreatedAt, info.UpdatedAt)
	}
	info.OrgID, info.Versions[0].PublishedAt, info.CreatedAt, info.UpdatedAt = "", time.Time{}, time.Time{}, time.Time{}
	want := client.ModuleInfo{
		ID: w.id, Visibility: module.VisibilityPrivate, URL: repo, Description: "a widget", Entrypoint: "run.sh",
		Models:   []client.ModelInfo{{API: "rdk:component:sensor", Model: "acme:weather:indoor", Description: "reads the air"}},
		Versions: []client.VersionInfo{{Version: w.version, Entrypoint: "run.sh", Platforms: []module.Platform{amd64}}},
	}
	if diff := cmp.Diff(want, info, versionsEqual()); diff != "" {
		t.Errorf("module (-want +got):\n%s", diff)
	}
	pkg, err := w.user.Package(t.Context(), w.id, w.version, amd64)
	if err != nil || pkg.Size != int64(len(file)) {
		t.Fatalf("package %+v, %v", pkg, err)
	}
	var got bytes.Buffer
	if err := w.user.Download(t.Context(), &got, pkg, nil); err != nil || !bytes.Equal(got.Bytes(), file) {
		t.Errorf("download: %d bytes of %d, %v", got.Len(), len(file), err)
	}
	builds, err := w.user.Builds(t.Context(), w.id, 10)
	if err != nil || len(builds) != 1 || !builds[0].Done() || !builds[0].OK() || builds[0].Commit != commit {
		t.Errorf("builds %+v, %v", builds, err)
	}
	if _, err := w.user.Package(t.Context(), w.id, w.version, arm64); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("a platform that was not built: %v", err)
	}
	if _, err := w.user.CreateModule(t.Context(), w.farm.Org.ID, "widget"); !errors.Is(err, module.ErrConflict) {
		t.Errorf("the same module again: %v", err)
	}
}

// TestCancelBuild holds that a worker and the owner both learn of a cancel.
func TestCancelBuild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, a := w.build(t, w.version)
	b, err := w.user.CancelBuild(t.Context(), id)
	if err != nil || len(b.Jobs) != 1 || !b.Jobs[0].CancelRequested {
		t.Fatalf("cancel: %+v, %v", b, err)
	}
	d, err := w.worker.Extend(t.Context(), a.Lease.LeaseRef, client.Progress{Step: "build"})
	if err != nil || !d.Cancel {
		t.Errorf("the worker is told %+v, %v", d, err)
	}
	job, err := w.worker.Finish(t.Context(), a.Lease.LeaseRef, client.Outcome{Kind: client.OutcomeFailed, Reason: "stopped"})
	if err != nil || job.State != client.JobCancelled {
		t.Errorf("finished as %+v, %v", job, err)
	}
}

// TestFaults holds that what is wrong with a request arrives part by part.
func TestFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.user.StartBuild(t.Context(), client.BuildRequest{
		Module: w.id, Repo: "ssh://git.example.com/x", Ref: "-x", Platforms: []module.Platform{{OS: "darwin", Arch: "arm64"}},
	})
	var faults module.Faults
	if !errors.As(err, &faults) || !errors.Is(err, module.ErrInvalid) {
		t.Fatalf("got %v, want faults", err)
	}
	var paths []string
	for _, f := range faults {
		if f.Problem == "" || f.Advice == "" {
			t.Errorf("fault without problem or advice: %+v", f)
		}
		paths = append(paths, f.Path)
	}
	if diff := cmp.Diff([]string{"repo", "ref", "platforms[0]"}, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

// TestUnreachable holds that a farm that is away, and one that never answers, read as such.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it accepts in the kernel only, and never answers
	for name, cfg := range map[string]client.Config{
		"mute": {URL: "http://" + l.Addr().String(), KeyID: "id", Key: "key", Timeout: 100 * time.Millisecond},
		"away": {URL: "http://127.0.0.1:1", KeyID: "id", Key: "key"},
	} {
		_, err := newClient(t, cfg).Login(t.Context())
		var e *client.Error
		if !errors.As(err, &e) || !errors.Is(err, module.ErrUnavailable) || e.Answered || !strings.Contains(err.Error(), cfg.URL) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = newClient(t, client.Config{URL: "http://127.0.0.1:1"}).Login(t.Context())
	if !errors.Is(err, module.ErrUnauthorized) || !strings.Contains(err.Error(), "API key") {
		t.Errorf("without a key: %v", err)
	}
}

// TestCancelledCall holds that the caller's own cancel stays what it is.
func TestCancelledCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.user.Builds(ctx, w.id, 0); !errors.Is(err, context.Canceled) || errors.Is(err, module.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	_, a := w.build(t, module.Version{})
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	started := false
	if _, err := w.worker.AppendLog(t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: a.Job.LogSize, Step: "build", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	err := w.user.FollowLog(ctx, a.Job.ID, 0, func(client.LogChunk) error { started = true; cancel(); return nil })
	if !started || !errors.Is(err, context.Canceled) {
		t.Errorf("following: started %t, %v", started, err)
	}
}

// TestAddresses is what may be given as the address of a farm.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"http://127.0.0.1:8080": true, "https://farm.example.com/": true, "https://farm.example.com/modfarm": true,
		"": false, "farm.example.com": false, "ftp://farm.example.com": false, "https://": false, "https://user:secret@farm.example.com": false,
	} {
		_, err := client.New(client.Config{URL: url})
		if (err == nil) != ok || (err != nil && (!errors.Is(err, module.ErrInvalid) || strings.Contains(err.Error(), "secret"))) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// TestDownloadFails holds that what is not what was published is never taken for it.
func TestDownloadFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, 1000)
	pkg, err := w.user.Package(t.Context(), w.id, w.version, amd64)
	if err != nil {
		t.Fatal(err)
	}
	other := pkg
	other.SHA256 = strings.Repeat("0", 64)
	if err := w.user.Download(t.Context(), io.Discard, other, nil); !errors.Is(err, client.ErrCorrupt) {
		t.Errorf("other bytes: %v", err)
	}
	other = pkg
	other.Size++
	if err := w.user.Download(t.Context(), io.Discard, other, nil); !errors.Is(err, client.ErrCorrupt) {
		t.Errorf("another size: %v", err)
	}
	other = pkg
	other.SHA256 = ""
	if err := w.user.Download(t.Context(), io.Discard, other, nil); !errors.Is(err, module.ErrInvalid) {
		t.Errorf("no digest: %v", err)
	}
	if err := w.user.Download(t.Context(), full{}, pkg, nil); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
}
