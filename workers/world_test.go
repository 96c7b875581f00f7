package workers_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/module/source/gittest"
	"github.com/modfarm/modfarm/workers"
)

const secret = "tok-0123456789abcdef"

// world is a pool with a served repository, a farm in memory and this machine's bash for containers.
type world struct {
	t      *testing.T
	farm   *fakeFarm
	runner *hostRunner
	repo   *gittest.Repo
	url    string
	pool   *workers.Pool
	done   chan error
	stop   context.CancelFunc
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root := t.TempDir()
	repo, err := gittest.NewRepo(t.Context(), root, "acme/widget.git", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := gittest.NewServer(root, secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w := &world{
		t: t, farm: newFakeFarm(), runner: newHostRunner(), repo: repo,
		url: server.URL + "/acme/widget.git", done: make(chan error, 1),
	}
	w.pool = &workers.Pool{
		Name: "w1", Farm: w.farm, Fetcher: new(source.Git), Runner: w.runner, Host: platform("amd64"),
		Native: []module.Platform{platform("amd64")}, Cross: []module.Platform{platform("arm64")},
		QEMU: []module.Platform{platform("arm64")}, WorkDir: t.TempDir(), Slots: 2, Poll: 20 * time.Millisecond,
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	w.stop = stop
	go func() { w.done <- w.pool.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		select {
		case err := <-w.done:
			if err != nil {
				w.t.Errorf("Run: %v", err)
			}
		case <-time.After(time.Minute):
			w.t.Error("the pool does not end")
		}
		w.nothingLeft()
	})
}

// nothingLeft checks that neither containers nor folders of jobs are left.
func (w *world) nothingLeft() {
	w.t.Helper()
	if open := w.runner.open(); open != 0 {
		w.t.Errorf("%d containers are left", open)
	}
	left, err := filepath.Glob(filepath.Join(w.pool.WorkDir, "jobs", "*", "*"))
	if err != nil || len(left) > 0 {
		w.t.Errorf("left: %v, %v", left, err)
	}
}

// submit queues a job for a module with the given meta.json build section and files.
func (w *world) submit(change func(*client.Assignment), spec module.BuildSpec, files map[string]string) string {
	w.t.Helper()
	commit, err := w.repo.Commit(w.t.Context(), files)
	if err != nil {
		w.t.Fatal(err)
	}
	version, err := module.ParseVersion("1.2.3")
	if err != nil {
		w.t.Fatal(err)
	}
	if spec.Path == "" {
		spec.Path = "out"
	}
	a := &client.Assignment{
		Job: client.Job{Platform: platform("amd64"), Attempt: 1},
		Build: client.Build{
			ID: "b1", Module: module.ID{Namespace: "acme", Name: "widget"}, Version: version, Repo: w.url, Commit: commit, Workdir: ".",
		},
		Token: secret, Strategies: []module.Strategy{module.StrategyNative},
		Manifest: &module.Manifest{Entrypoint: "run.sh", Build: spec}, Settings: module.DefaultSettings(),
	}
	if change != nil {
		change(a)
	}
	return w.farm.queue(a)
}

// clearTree empties the work tree for the next commit.
func (w *world) clearTree() {
	w.t.Helper()
	entries, err := os.ReadDir(w.repo.Dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == ".git" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(w.repo.Dir, e.Name())); err != nil {
			w.t.Fatal(err)
		}
	}
}

func wait[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

func (w *world) outcome(id string) client.Outcome {
	w.t.Helper()
	return wait(w.t, "the end of the job", w.farm.ended(id))
}

const makeOut = `mkdir -p out && printf '#!/bin/sh\necho hi\n' > out/run.sh && chmod 755 out/run.sh`

// eventually waits for what happens beside the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
