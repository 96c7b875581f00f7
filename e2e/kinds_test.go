package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/farm/redis/redistest"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// TestWorkerKinds runs the same builds on a worker that is root, on one that is
// an ordinary user in the docker group, and on one that runs in a container
// itself. Each publishes, and leaves nothing behind.
func TestWorkerKinds(t *testing.T) {
	s := openKinds(t)
	for n, kind := range []struct {
		name  string
		start func(*testing.T, *kinds, string) *process
	}{
		{"root", startRoot},
		{"user", startUser},
		{"container", startContainer},
	} {
		t.Run(kind.name, func(t *testing.T) {
			name := "kind-" + kind.name + "-" + strings.ToLower(rand.Text()[:6])
			worker := kind.start(t, s, name)
			worker.awaitReady(t)
			s.buildAll(t, worker, version(t, []string{"1.0.0", "1.0.1", "1.0.2"}[n]))
			worker.stop(t)
			s.nothingLeft(t, worker, name)
		})
	}
}

// kinds is a farm without a worker, on a real Redis, and two repositories.
type kinds struct {
	farm    *road.Farm
	client  *client.Client
	redis   string // its URL; secret
	modfarm string
	image   string // the product's
	git     string // URL of the git server
	dir     string // a folder that every user may enter
}

func openKinds(t *testing.T) *kinds {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("run as root: the test starts workers of other users")
	}
	if host := bothPlatforms()[0]; module.HostPlatform() != host {
		t.Skipf("the builds are native on %s only", host)
	}
	root, out := checkout(t), &lines{t: t}
	s := &kinds{redis: redistest.Start(t).URL(), dir: openFolder(t)}
	var err error
	if s.modfarm, err = road.PrepareFarm(t.Context(), root, out, bothPlatforms()); err != nil {
		t.Fatal(err)
	}
	if s.image, err = road.PrepareImage(t.Context(), root, out); err != nil {
		t.Fatal(err)
	}
	s.serveGit(t)
	if s.farm, err = road.StartServe(t.Context(), road.Config{Dir: t.TempDir(), Modfarm: s.modfarm}, s.redis); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.createModules(t)
	return s
}

// openFolder is a temporary folder that other users may enter, which those of the
// testing package are not.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "modfarm-kinds-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Scripts of the two modules. The tidy one says where it was made; it is built
// natively and under emulation.
const (
	tidyBuild = `#!/bin/bash
set -eu
mkdir dist
printf '#!/bin/sh\necho made on %s\n' "$(uname -m)" > dist/main
chmod 755 dist/main
`
	// messyBuild keeps everything to the container's root: the archive's folder and
	// a file in it, which only root may read, and much beside it. The worker must read
	// the first and remove the second.
	messyBuild = `#!/bin/bash
set -eu
umask 077
mkdir -p dist left/deep/er left/closed
printf '#!/bin/sh\necho made on %s\n' "$(uname -m)" > dist/main
chmod 700 dist/main
echo unreadable > dist/data
chmod 000 dist/data
echo x | tee left/file left/deep/er/file left/closed/file .git/own > /dev/null
mkfifo left/fifo
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("left/socket")'
ln -s /etc/passwd left/link
chown 12345:12345 left/file
chmod 000 left/file left/closed left/deep
sleep 1000 > /dev/null 2>&1 &
`
)

func (s *kinds) serveGit(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	server, err := gittest.NewServer(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s.git = server.URL
	for name, script := range kindScripts() {
		repo, err := gittest.NewRepo(t.Context(), root, name+".git", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{
			"meta.json": kindManifest(t, name), "build.sh": script, "modfarm.yaml": "strategy: {linux/arm64: qemu}\n",
		}
		if _, err := repo.Commit(t.Context(), files, "v1.0.0"); err != nil {
			t.Fatal(err)
		}
	}
}

func kindScripts() map[string]string {
	return map[string]string{"tidy": tidyBuild, "messy": messyBuild}
}

func kindManifest(t *testing.T, name string) string {
	t.Helper()
	m := &module.Manifest{
		ID: module.ID{Namespace: road.Namespace, Name: name}, Visibility: "private", URL: "https://github.com/acme/" + name,
		Description: "Is built by every kind of worker", Models: []module.Model{{API: "rdk:component:sensor", Model: "acme:kinds:" + name}},
		ModelsPresent: true, Entrypoint: "main", Build: module.BuildSpec{Build: "./build.sh", Path: "dist", Arch: bothPlatforms()},
	}
	text, err := m.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *kinds) createModules(t *testing.T) {
	t.Helper()
	var err error
	if s.client, err = s.farm.Client(); err != nil {
		t.Fatal(err)
	}
	orgs, err := s.client.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name := range kindScripts() {
		if _, err := s.client.CreateModule(t.Context(), orgs[0].ID, name); err != nil {
			t.Fatal(err)
		}
	}
}

// kindTime bounds the builds of one worker; a busy machine emulates slowly.
const kindTime = 4 * time.Minute

// buildAll has the worker build both modules, and looks into what was published.
func (s *kinds) buildAll(t *testing.T, worker *process, v module.Version) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kindTime)
	defer cancel()
	both := bothPlatforms()
	builds := map[string]string{
		"tidy":  s.start(ctx, t, "tidy", v, both),
		"messy": s.start(ctx, t, "messy", v, both[:1]),
	}
	for name, id := range builds {
		build := s.wait(ctx, t, worker, id)
		for _, job := range build.Jobs {
			if job.State != client.JobPublished {
				t.Errorf("%s %s is %s: %s", name, job.Platform, job.State, job.Reason)
				continue
			}
			s.checkArchive(ctx, t, name, v, job)
		}
	}
}

func (s *kinds) start(ctx context.Context, t *testing.T, name string, v module.Version, platforms []module.Platform) string {
	t.Helper()
	id, err := s.client.StartBuild(ctx, client.BuildRequest{
		Module: module.ID{Namespace: road.Namespace, Name: name}, Version: v, Repo: s.git + "/" + name + ".git", Ref: "v1.0.0",
		Platforms: platforms,
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// wait polls the build until it is done; a worker that ended is not waited for.
func (s *kinds) wait(ctx context.Context, t *testing.T, worker *process, id string) client.Build {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		build, err := s.client.Build(ctx, id)
		if err == nil && build.Done() {
			return build
		}
		select {
		case <-ctx.Done():
			t.Fatalf("gave up on the build (%v, %v); the worker said:\n%s", build.Jobs, err, worker.said())
		case <-worker.ended:
			t.Fatalf("the worker ended:\n%s", worker.said())
		case <-tick.C:
		}
	}
}

// checkArchive looks for the entrypoint's words in what was published, and for the
// file that only the container's root could read.
func (s *kinds) checkArchive(ctx context.Context, t *testing.T, name string, v module.Version, job client.Job) {
	t.Helper()
	wants := map[string]string{"main": "made on x86_64"}
	strategy := module.StrategyNative
	if job.Platform.Arch == "arm64" {
		wants["main"], strategy = "made on aarch64", module.StrategyQEMU
	}
	if name == "messy" {
		wants["data"] = "unreadable"
	}
	if job.Strategy != strategy {
		t.Errorf("%s %s was built by %q, want %q", name, job.Platform, job.Strategy, strategy)
	}
	pkg, err := s.client.Package(ctx, module.ID{Namespace: road.Namespace, Name: name}, v, job.Platform)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := s.client.Download(ctx, &packed, pkg, nil); err != nil {
		t.Fatal(err)
	}
	got := unpacked(t, &packed)
	for file, want := range wants {
		if !strings.Contains(got[file], want) {
			t.Errorf("%s %s: %s holds %q, want %q", name, job.Platform, file, got[file], want)
		}
	}
}

func unpacked(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	zipped, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for entries := tar.NewReader(zipped); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(entries)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Clean(header.Name)] = string(text)
	}
}

// nothingLeft looks into the engine and the work folder after the worker ended.
func (s *kinds) nothingLeft(t *testing.T, worker *process, name string) {
	t.Helper()
	left, err := road.LeftoversOf(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(worker.work, "jobs"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() || strings.Count(strings.TrimPrefix(path, worker.work), "/") > 2 {
			left = append(left, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	slices.Sort(left)
	for _, what := range left {
		t.Errorf("left behind: %s", what)
	}
	if t.Failed() {
		t.Logf("the worker said:\n%s", worker.said())
	}
}
