package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// TestReproduce runs a build of the farm again on this machine: in the same image, with the same variables, to the
// same archive. A failure comes out as the farm's did. Then the module's folder is built in a container by itself.
func TestReproduce(t *testing.T) {
	y := openYard(t)
	name := "again"
	id := y.newModule(t, name)
	files := map[string]string{
		"meta.json": metaOf(t, id, "./build.sh", func(m *module.Manifest) { m.Build.Path, m.Entrypoint = "out", "run.sh" }),
		"run.sh":    "#!/bin/sh\necho hi\n",
		"build.sh":  "set -e\n[ -z \"$BROKEN\" ]\nmkdir out\nchmod +x run.sh\ncp run.sh out/\nenv | grep -v '^HOSTNAME\\|^GOCACHE\\|^GOMODCACHE\\|^PIP_CACHE\\|^CCACHE\\|^_=\\|^SHLVL' | sort > out/env\n",
	}
	var dir string
	y.newRepo(t, name, func(repo *gittest.Repo) {
		if _, err := repo.Commit(t.Context(), files, "v1.0.0"); err != nil {
			t.Fatal(err)
		}
		dir = repo.Dir
	})
	build, log := y.build(t, y.request(t, name))
	if y.judge(t, build, log, client.JobPublished); t.Failed() {
		return
	}
	if r := build.Jobs[0].Report; r == nil || !strings.Contains(r.Image, "@sha256:") || r.Environment["VIAM_BUILD_ARCH"] == "" ||
		r.Smoke == nil || r.Smoke.Verdict == "failed" {
		t.Errorf("the farm's report of the build: %+v", r)
	}
	keyID, key := y.farm.Key()
	surroundings := road.UpArgs(os.LookupEnv) // what the farm's owner tells builds of this machine
	modfarm := func(args ...string) (string, error) {
		t.Helper()
		args = append(args, surroundings...)
		cmd := exec.CommandContext(t.Context(), y.binary, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "MODFARM_URL="+y.farm.URL(), "MODFARM_KEY_ID="+keyID, "MODFARM_KEY="+key)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	archive := filepath.Join(t.TempDir(), "a.tar.gz")
	p := build.Jobs[0].Platform.String()
	out, err := modfarm("module", "build", "reproduce", build.ID, p, "--allow-private-repositories", "--output", archive)
	if err != nil || !strings.Contains(out, build.Jobs[0].Release.SHA256) {
		t.Errorf("reproduced: %v; want the digest %s in\n%s", err, build.Jobs[0].Release.SHA256, out)
	}
	if info, err := os.Stat(archive); err != nil || info.Size() != build.Jobs[0].Release.Size {
		t.Errorf("the archive that is kept: %v, %v", info, err)
	}
	tried := y.request(t, name)
	tried.Version = module.Version{}
	trial, log := y.build(t, tried)
	y.judge(t, trial, log, client.JobBuilt)
	unversioned := filepath.Join(t.TempDir(), "b.tar.gz")
	out, err = modfarm("module", "build", "reproduce", trial.ID, p, "--allow-private-repositories", "--output", unversioned)
	if err != nil || !strings.Contains(out, "kept "+unversioned) {
		t.Errorf("reproduced a build without a version: %v\n%s", err, out)
	}
	if info, err := os.Stat(unversioned); err != nil || info.Size() == 0 {
		t.Errorf("its archive: %v, %v", info, err)
	}
	out, err = modfarm("module", "build", "reproduce", build.ID, p, "--allow-private-repositories", "--build-env", "BROKEN=1")
	if err == nil || !strings.Contains(out, "build (./build.sh) ended with exit code 1") {
		t.Errorf("a build that fails: %v\n%s", err, out)
	}
	y.modfarm(t, dir, "module", "build", "start", "--from-source", "--version", "2.0.0", "--platforms", p, "--wait")
	sent, err := y.client.Builds(t.Context(), id, 1)
	if err != nil || len(sent) != 1 || !sent[0].Uploaded() {
		t.Fatalf("builds of %s: %+v, %v", id, sent, err)
	}
	out, err = modfarm("module", "build", "reproduce", sent[0].ID, p, "--output", archive)
	if err != nil || !strings.Contains(out, "fetching the uploaded source "+sent[0].Commit) || !strings.Contains(out, "kept "+archive) {
		t.Errorf("reproduced from uploaded source: %v\n%s", err, out)
	}
	out, err = modfarm("module", "build", "local", "--in-container", "--platform", p, "--output", archive)
	if err != nil || !strings.Contains(out, "strategy: native") || !strings.Contains(out, "smoke run") {
		t.Errorf("built from the folder: %v\n%s", err, out)
	}
	left, err := exec.CommandContext(t.Context(), "docker", "ps", "-aq", "--filter", "label=dev.modfarm.job", "--filter", "name=solo-").Output()
	if err != nil || len(left) > 0 {
		t.Errorf("containers left: %s, %v", left, err)
	}
}
