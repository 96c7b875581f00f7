package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/farm/github/githubtest"
	"github.com/modfarm/modfarm/module"
)

// TestAction runs workflows with both actions, as GitHub does, against one farm.
func TestAction(t *testing.T) {
	hub := githubtest.Start(t)
	r, worker := openRoad(t, "v1.0.0", "--oidc-issuer", hub.Issuer())
	t.Cleanup(func() { removeCaches(t, worker) })
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("stop the farm: %v", err)
		}
	})
	farm, err := r.Farm().Client()
	if err != nil {
		t.Fatal(err)
	}
	s := &steps{Road: r, farm: farm}
	t.Run("stock build, moved", s.movedBuild)
	t.Run("stock upload, moved", s.movedUpload)
	t.Run("identity", func(t *testing.T) { s.identity(t, hub) })
	t.Run("fail fast in a folder", s.failFast)
	t.Run("cancelled", s.cancelled)
}

// steps are the cases of TestAction.
type steps struct {
	*road.Road
	farm *client.Client
}

// deploy is a workflow with one step after the checkout.
func deploy(name, step string) string {
	return "name: deploy " + name + "\non: [push]\njobs:\n  publish:\n    runs-on: ubuntu-latest\n    steps:\n" +
		"      - uses: actions/checkout@v4\n" + step
}

// migrated is a stock workflow after a change that the page on moving shows.
func migrated(t *testing.T, file, name, farm string) string {
	t.Helper()
	stock, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/migrate-from-viam.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(page), "\n```diff\n")[1:] {
		diff, _, _ := strings.Cut(part, "\n```")
		var before, after []string
		changed := 0
		for line := range strings.SplitSeq(diff, "\n") {
			if line[0] != '+' {
				before = append(before, line[1:])
			}
			if line[0] != '-' {
				after = append(after, line[1:])
			}
			if line[0] == '+' {
				changed++
			}
		}
		text := strings.Replace(string(stock), strings.Join(before, "\n"), strings.Join(after, "\n"), 1)
		if text == string(stock) {
			continue // it is of the other workflow
		}
		if changed != 2 {
			t.Errorf("%d lines change, and two are promised", changed)
		}
		return "name: deploy " + name + "\n" + strings.Replace(text, "https://farm.example.com", farm, 1)
	}
	t.Fatalf("no change of the page applies to %s", file)
	return ""
}

// last is the newest build of a module.
func (s *steps) last(ctx context.Context, t *testing.T, name string) client.Build {
	t.Helper()
	builds, err := s.farm.Builds(ctx, module.ID{Namespace: road.Namespace, Name: name}, 1)
	if err != nil || len(builds) != 1 {
		t.Fatalf("builds of %s: %v, %v", name, builds, err)
	}
	return builds[0]
}

// meta is a meta.json for a repository on the road's git server.
func meta(t *testing.T, name, build string, platforms ...module.Platform) string {
	t.Helper()
	return metaOf(t, module.ID{Namespace: road.Namespace, Name: name}, build, func(m *module.Manifest) {
		m.URL = "REPOSITORY"
		if len(platforms) > 0 {
			m.Build.Arch = platforms
		}
	})
}

func wantIn(t *testing.T, log string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(log, part) {
			t.Errorf("the workflow's log lacks %q:\n%s", part, end(log))
		}
	}
}

// movedBuild: the repository is private, and the workflow's token opens it.
func (s *steps) movedBuild(t *testing.T) {
	const name = "stock-build"
	log, err := s.Try(t.Context(), road.Try{Name: name, Tag: "v1.0.0", Files: map[string]string{
		"meta.json": meta(t, name, goodBuild), ".github/workflows/deploy.yml": migrated(t, name+".yml", name, s.Farm().URL()),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if b := s.last(t.Context(), t, name); b.Version.String() != "1.0.0" || b.Jobs[0].State != client.JobPublished {
		t.Errorf("build %+v", b)
	}
	wantIn(t, log, "published by native", "status=published")
}

func (s *steps) movedUpload(t *testing.T) {
	const name = "stock-upload"
	log, err := s.Try(t.Context(), road.Try{Name: name, Tag: "v1.0.0", Files: map[string]string{
		"meta.json": meta(t, name, goodBuild), ".github/workflows/deploy.yml": migrated(t, name+".yml", name, s.Farm().URL()),
		"main": "#!/bin/sh\necho hello\n",
	}})
	if err != nil {
		t.Fatal(err)
	}
	releases, err := s.farm.Releases(t.Context(), module.ID{Namespace: road.Namespace, Name: name}, version(t, "1.0.0"))
	if err != nil || len(releases) != 1 || releases[0].Platform.String() != "linux/amd64" || releases[0].Entrypoint != "main" {
		t.Errorf("releases: %+v, %v", releases, err)
	}
	wantIn(t, log, fmt.Sprintf("cmd=%q", []string{"action", "upload"}), "sent 100 %", "already-published=false", "sha256=")
}

// identity: both actions without a secret, all platforms together.
func (s *steps) identity(t *testing.T, hub *githubtest.Server) {
	t.Helper()
	const name, tag = "identity", "v1.0.0-rc1"
	orgs, err := s.farm.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.farm.CreateModule(t.Context(), orgs[0].ID, name)
	if err != nil {
		t.Fatal(err)
	}
	repo := hub.NewRepo(road.Namespace, name, false)
	if _, err := s.farm.LinkRepository(t.Context(), id, strings.TrimSuffix(repo.CloneURL(), ".git"), false); err != nil {
		t.Fatal(err)
	}
	commit := repo.Commit(map[string]string{
		"meta.json": strings.ReplaceAll(meta(t, name, goodBuild), "REPOSITORY", repo.CloneURL()),
		"main":      "#!/bin/sh\necho hello\n",
		".github/workflows/deploy.yml": strings.ReplaceAll(deploy(name, `      - uses: modfarm/modfarm@v0
        with:
          url: FARM
          version: ${{ github.ref_name }}
          publish: all
      - run: chmod +x main && tar -czf module.tar.gz main
      - uses: modfarm/modfarm/upload@v0
        with:
          url: FARM
          version: ${{ github.ref_name }}
          platform: linux/arm64
`), "FARM", s.Farm().URL()),
	})
	repo.Tag(false, tag)
	address, token := hub.TokenRequest(repo, "refs/tags/"+tag)
	log, err := s.Try(t.Context(), road.Try{Name: name, Tag: tag, Clone: repo.CloneURL(), Act: []string{
		"--env", "ACTIONS_ID_TOKEN_REQUEST_URL=" + address, "--env", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + token,
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := s.last(t.Context(), t, name)
	if b.Commit != strings.TrimSpace(commit) || b.Publish != module.PublishAll || b.Jobs[0].State != client.JobPublished {
		t.Errorf("build %+v", b)
	}
	releases, err := s.farm.Releases(t.Context(), id, version(t, "1.0.0-rc1"))
	if err != nil || len(releases) != 2 {
		t.Errorf("releases: %+v, %v", releases, err)
	}
	wantIn(t, log, "with the workflow's identity", "status=published", "already-published=false")
}

// failFast: the module is in a folder, its tag a pre-release, and one platform ends the other, which would take long.
func (s *steps) failFast(t *testing.T) {
	const name = "fail-fast"
	build := `if [ "$VIAM_BUILD_ARCH" = arm64 ]; then sleep 600; fi; echo "main.c:3:1: error: expected a semicolon"; exit 7`
	log, err := s.Try(t.Context(), road.Try{Name: name, Tag: "v1.0.0-rc1", Files: map[string]string{
		"modules/widget/meta.json": meta(t, name, build, bothPlatforms()...),
		".github/workflows/deploy.yml": deploy(name, `      - uses: modfarm/modfarm@v0
        with:
          url: FARM
          meta-path: modules/widget/meta.json
          version: ${{ github.ref_name }}
          publish: all
          fail-fast: true
          key-id: ${{ secrets.VIAM_KEY_ID }}
          key-value: ${{ secrets.VIAM_KEY_VALUE }}
          token: ${{ secrets.GITHUB_TOKEN }}
`),
	}})
	if err == nil {
		t.Fatal("a failed build is a workflow that succeeds")
	}
	b := s.last(t.Context(), t, name)
	if b.Workdir != "modules/widget" || b.Publish != module.PublishAll || !b.FailFast || b.Version.String() != "1.0.0-rc1" || b.Ref == "main" {
		t.Errorf("build %+v", b)
	}
	if b.Jobs[0].State != client.JobFailed || b.Jobs[1].State != client.JobCancelled {
		t.Errorf("%s is %s, %s is %s", b.Jobs[0].Platform, b.Jobs[0].State, b.Jobs[1].Platform, b.Jobs[1].State)
	}
	checkSentence(t, b.Jobs[1].Reason, "linux/amd64 failed and fail-fast is on")
	wantIn(t, log, "file=modules/widget/main.c", "expected a semicolon", "status=failed")
}

// cancelled: what GitHub's runner sends to the Action's container when somebody cancels the workflow.
func (s *steps) cancelled(t *testing.T) {
	const name = "cancelled"
	go func() {
		ctx, done := context.WithTimeout(t.Context(), buildTime)
		defer done()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			builds, err := s.farm.Builds(ctx, module.ID{Namespace: road.Namespace, Name: name}, 1)
			if err == nil && slices.ContainsFunc(builds, func(b client.Build) bool { return b.Jobs[0].LogSize > 0 }) {
				if sent, err := s.Signal(ctx, name, "SIGINT"); sent || err != nil {
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	log, err := s.Try(t.Context(), road.Try{Name: name, Tag: "v1.0.0", Files: map[string]string{
		"meta.json": meta(t, name, "echo compiling; sleep 600"),
		".github/workflows/deploy.yml": deploy(name, `      - uses: modfarm/modfarm@v0
        with:
          url: FARM
          ref: ${{ github.sha }}
          key-id: ${{ secrets.VIAM_KEY_ID }}
          key-value: ${{ secrets.VIAM_KEY_VALUE }}
          token: ${{ secrets.GITHUB_TOKEN }}
`),
	}})
	if err == nil {
		t.Fatal("a cancelled build is a workflow that succeeds")
	}
	wantIn(t, log, "the workflow was cancelled, and its build", "status=cancelled")
	deadline := time.Now().Add(cleanTime)
	for b := s.last(t.Context(), t, name); b.Jobs[0].State != client.JobCancelled; b = s.last(t.Context(), t, name) {
		if time.Now().After(deadline) {
			t.Fatalf("the build is %s", b.Jobs[0].State)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
