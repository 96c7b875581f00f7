package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// TestInterruptedBuildGoesOn stops a farm in the middle of a build and starts it
// again: nothing is left in the engine while it is down, and the build ends well.
func TestInterruptedBuildGoesOn(t *testing.T) {
	cfg := upConfig(t)
	worker := workerName()
	cfg.UpArgs = append(cfg.UpArgs, "--drain", "1s", "--name", worker)
	farm, err := road.StartFarm(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	farms := []*road.Farm{farm}
	t.Cleanup(func() { _ = farms[len(farms)-1].Stop() })
	keyFile := filepath.Join(cfg.Dir, "farm", "api-key.env")
	if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the first key's file: %v, mode %v; want 0600", err, info.Mode())
	}
	// Longer than the farm drains, so that the job has to be given back.
	id := submit(t, farm, map[string]string{
		"meta.json": manifest(t, "sleep 8 && mkdir dist && printf '#!/bin/sh\\necho hello\\n' > dist/main && chmod 755 dist/main"),
	})
	waitFor(t, farm, id, func(b client.Build) bool { return b.Jobs[0].State == client.JobRunning && b.Jobs[0].Step == "Build" })
	if err := farm.Stop(); err != nil {
		t.Fatalf("stop in the middle of a build: %v", err)
	}
	left, err := road.LeftoversOf(t.Context(), worker)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Fatalf("left in the engine: %s", strings.Join(left, ", "))
	}

	again, err := road.StartFarm(t.Context(), cfg)
	if err != nil {
		t.Fatalf("start the farm again: %v", err)
	}
	farms = append(farms, again)
	build := waitFor(t, again, id, client.Build.Done)
	if !build.OK() || build.Jobs[0].State != client.JobPublished {
		t.Errorf("the build ended %s: %s", build.Jobs[0].State, build.Jobs[0].Reason)
	}
	if build.Jobs[0].Attempt != 1 {
		t.Errorf("attempt %d: a job that was given back burns none", build.Jobs[0].Attempt)
	}
}

// TestBuildWithoutVersionPublishesNothing builds a folder that the worker packs.
func TestBuildWithoutVersionPublishesNothing(t *testing.T) {
	cfg := upConfig(t)
	farm, err := road.StartFarm(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	id := submitVersion(t, farm, "", map[string]string{
		"meta.json": manifest(t, "mkdir dist && printf '#!/bin/sh\\necho hello\\n' > dist/main && chmod 755 dist/main"),
	})
	build := waitFor(t, farm, id, client.Build.Done)
	if build.Jobs[0].State != client.JobBuilt {
		t.Fatalf("the build ended %s: %s", build.Jobs[0].State, build.Jobs[0].Reason)
	}
	c, err := farm.Client()
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Module(t.Context(), module.ID{Namespace: road.Namespace, Name: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Versions) != 0 {
		t.Errorf("versions %v were published", info.Versions)
	}
}

// TestFailingScriptIsAResult says what failed, where, and with which last words.
func TestFailingScriptIsAResult(t *testing.T) {
	cfg := upConfig(t)
	farm, err := road.StartFarm(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	id := submit(t, farm, map[string]string{"meta.json": manifest(t, "echo one; echo the sensor library is missing >&2; exit 7")})
	build := waitFor(t, farm, id, client.Build.Done)
	job := build.Jobs[0]
	if job.State != client.JobFailed || job.Attempt != 1 {
		t.Errorf("state %s after attempt %d; want failed after one", job.State, job.Attempt)
	}
	for _, want := range []string{"build", "7"} {
		if !strings.Contains(job.Reason, want) {
			t.Errorf("the reason does not name %q: %s", want, job.Reason)
		}
	}
	c, err := farm.Client()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	if err := c.FollowLog(t.Context(), job.ID, 0, func(chunk client.LogChunk) error {
		_, err := log.Write(chunk.Data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "the sensor library is missing") {
		t.Errorf("the log lacks the script's output:\n%s", log.String())
	}
}

// upConfig is a farm that needs the builder image of this machine only.
func upConfig(t *testing.T) road.Config {
	t.Helper()
	root := checkout(t)
	out := &lines{t: t}
	modfarm, err := road.PrepareFarm(t.Context(), root, out, []module.Platform{module.HostPlatform()})
	if err != nil {
		t.Fatal(err)
	}
	return road.Config{Root: root, Dir: t.TempDir(), Modfarm: modfarm, Out: out, UpArgs: road.UpArgs(os.LookupEnv)}
}

// manifest is the meta.json of a module whose build is one command.
func manifest(t *testing.T, build string) string {
	t.Helper()
	m := &module.Manifest{
		ID: module.ID{Namespace: road.Namespace, Name: "hello"}, Visibility: "private", URL: "https://github.com/acme/hello",
		Description: "Says hello", Models: []module.Model{{API: "rdk:component:sensor", Model: "acme:hello:hello"}}, ModelsPresent: true,
		Entrypoint: "main", Build: module.BuildSpec{Build: build, Path: "dist", Arch: []module.Platform{module.HostPlatform()}},
	}
	text, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func submit(t *testing.T, farm *road.Farm, files map[string]string) string {
	t.Helper()
	return submitVersion(t, farm, "1.0.0", files)
}

// submitVersion serves files as a repository and starts a build of it.
func submitVersion(t *testing.T, farm *road.Farm, version string, files map[string]string) string {
	t.Helper()
	c, err := farm.Client()
	if err != nil {
		t.Fatal(err)
	}
	return submitTo(t, c, version, files)
}

func submitTo(t *testing.T, c *client.Client, version string, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	server, err := gittest.NewServer(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	repo, err := gittest.NewRepo(t.Context(), root, "hello.git", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Commit(t.Context(), files, "v1.0.0"); err != nil {
		t.Fatal(err)
	}
	orgs, err := c.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.CreateModule(t.Context(), orgs[0].ID, "hello")
	if err != nil {
		t.Fatal(err)
	}
	request := client.BuildRequest{
		Module: id, Repo: server.URL + "/hello.git", Ref: "v1.0.0", Platforms: []module.Platform{module.HostPlatform()},
	}
	if version != "" {
		if request.Version, err = module.ParseVersion(version); err != nil {
			t.Fatal(err)
		}
	}
	build, err := c.StartBuild(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return build
}

// waitFor polls a build until it is as wanted.
func waitFor(t *testing.T, farm *road.Farm, id string, wanted func(client.Build) bool) client.Build {
	t.Helper()
	c, err := farm.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var seen []string
	for {
		build, err := c.Build(ctx, id)
		if err == nil && wanted(build) {
			return build
		}
		if err == nil && build.Done() {
			t.Fatalf("the build ended %s (%s); seen before: %q", build.Jobs[0].State, build.Jobs[0].Reason, seen)
		}
		if err == nil {
			seen = append(seen, string(build.Jobs[0].State)+" "+build.Jobs[0].Step)
			seen = slices.Compact(seen)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("gave up on the build (last error %v); seen: %q", err, seen)
		case <-tick.C:
		}
	}
}
