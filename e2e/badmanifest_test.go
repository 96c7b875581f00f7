package e2e_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/build/v1/buildv1connect"
)

// wrongEverywhere is a meta.json of which every field is wrong.
const wrongEverywhere = `{
  "$schema": 1, "module_id": "no colon", "visibility": "secret", "url": 7, "description": [],
  "models": [{"api": "rdk:thing:sensor", "model": "one"}, null], "applications": "none",
  "markdown_link": {}, "entrypoint": "/usr/bin/main", "first_run": "../up.sh",
  "build": {"build": 1, "setup": false, "path": [], "arch": ["linux/risc"], "distro": "Bookworm!", "darwin_deps": "none"}
}`

// manifestCases are wrong meta.json and modfarm.yaml.
func manifestCases() []badCase {
	return []badCase{
		{
			name: "meta-absent", want: client.JobRefused, says: []string{"no meta.json", "commit it", "workdir"},
			prepare: func(t *testing.T, _ *yard, repo *gittest.Repo) { t.Helper(); ignore(t, repo, "meta.json") },
		},
		{
			name: "meta-broken", files: map[string]string{"meta.json": "{\n  \"module_id\": \"acme:meta-broken\",\n  oops\n}"},
			want: client.JobRefused, says: []string{"meta.json", "line 3"},
		},
		{
			name: "meta-all-wrong", files: map[string]string{"meta.json": wrongEverywhere}, want: client.JobRefused,
			says: []string{
				"$schema", "module_id", "visibility", "url", "description", "models[0].api", "models[0].model", "models[1]", "applications",
				"markdown_link", "entrypoint", "first_run", "build.build", "build.setup", "build.path", "build.arch[0]", "linux/risc",
				"build.distro", "build.darwin_deps", "line",
			},
		},
		{
			name: "meta-of-another", want: client.JobRefused, says: []string{"module_id", "acme:somebody-else", "correct meta.json"},
			meta: func(m *module.Manifest) {
				m.ID = module.ID{Namespace: "acme", Name: "somebody-else"}
				m.Models = nil
			},
		},
		{
			name: "settings-wrong", build: goodBuild,
			files: map[string]string{"modfarm.yaml": "publsh: all\ntimeouts:\n  build: soon\n"},
			want:  client.JobRefused, says: []string{"modfarm.yaml", "publsh", "publish", "timeouts.build", "soon"},
		},
		{
			name: "path-climbs", build: goodBuild, meta: func(m *module.Manifest) { m.Build.Path = "../../etc" },
			want: client.JobRefused, says: []string{"build.path", "../../etc", "relative to the root"},
		},
	}
}

// ignore keeps a file out of the commit.
func ignore(t *testing.T, repo *gittest.Repo, name string) {
	t.Helper()
	if err := os.WriteFile(repo.Dir+"/.gitignore", []byte(name+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tagIsNoVersion asks as the stock command line does, whose version is any
// string, and as the Action does, whose version is the tag.
func tagIsNoVersion(t *testing.T, y *yard) {
	t.Helper()
	y.newModule(t, "tag-no-version")
	request := y.request(t, "tag-no-version")
	id, secret := y.farm.Key()
	stock := buildv1connect.NewBuildServiceClient(y.stock(t), y.farm.URL())
	_, err := stock.StartBuild(t.Context(), &buildv1.StartBuildRequest{
		Repo: request.Repo, ModuleId: request.Module.String(), ModuleVersion: "nightly", Platforms: []string{module.HostPlatform().String()},
	})
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Fatalf("the farm took the version nightly: %v", err)
	}
	checkSentence(t, err.Error(), "module_version", "nightly", "1.4.0")

	work := t.TempDir()
	if err := os.WriteFile(work+"/meta.json", []byte(metaOf(t, request.Module, goodBuild, nil)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), y.binary, "action")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "GITHUB_WORKSPACE=" + work, "GITHUB_ACTIONS=true", "GITHUB_OUTPUT=" + work + "/output",
		"GITHUB_STEP_SUMMARY=" + work + "/summary", "INPUT_URL=" + y.farm.URL(), "INPUT_KEY-ID=" + id, "INPUT_KEY-VALUE=" + secret,
		"INPUT_VERSION=nightly", "INPUT_REF=nightly",
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("the Action went on with the tag nightly")
	}
	for _, want := range []string{"::error", "nightly", "version tags only"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the Action does not say %q:\n%s", want, out)
		}
	}
	if builds, err := y.client.Builds(t.Context(), request.Module, 1); err != nil || len(builds) != 0 {
		t.Errorf("a build was started all the same: %v, %v", builds, err)
	}
}

// unknownModule is told the command that creates it.
func unknownModule(t *testing.T, y *yard) {
	t.Helper()
	request := y.request(t, "never-created")
	_, err := y.client.StartBuild(t.Context(), request)
	if err == nil {
		t.Fatal("a build of a module that does not exist was started")
	}
	t.Log(err)
	checkSentence(t, err.Error(), "acme:never-created", "modfarm module create acme:never-created")
}
