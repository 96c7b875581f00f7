package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm/api/apitest"
)

// published has 0.1.0 for linux/amd64; the archive is returned.
func (p *person) published() []byte {
	p.t.Helper()
	p.run("module", "build", "start", "--module", p.meta, "--version", "0.1.0", "--platforms", "linux/amd64").want(exitOK, "-", "")
	return p.publish(p.claim(amd64), apitest.AMD64)
}

func TestDownload(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	file := string(p.published())
	get := func(output string) *ran {
		return p.run("module", "download", "acme:widget", "v0.1.0", "--platform", "linux/amd64", "--output", output)
	}
	dir := t.TempDir()
	const name = "widget-0.1.0-linux-amd64.tar.gz"
	get(filepath.Join(dir, "mine")).want(exitOK, filepath.Join(dir, "mine")+" sha256:", "")
	get(dir).want(exitOK, filepath.Join(dir, name)+" sha256:", "")
	for _, path := range []string{filepath.Join(dir, "mine"), filepath.Join(dir, name)} {
		if got, err := os.ReadFile(path); err != nil || string(got) != file {
			t.Errorf("%s: %d bytes of %d, %v", path, len(got), len(file), err)
		}
	}
	if got := get("-").want(exitOK, "", "- sha256:").out.String(); got != file {
		t.Errorf("standard output has %d bytes of %d", len(got), len(file))
	}
	missing := filepath.Join(dir, "nobody", "file")
	get(missing).want(exitFailed, "", "--output "+missing+": there is no folder "+filepath.Dir(missing)+": make it with mkdir -p")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// TestNoSuchVersion: what does not exist is answered with what does.
func TestNoSuchVersion(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.run("module", "download", "acme:widget", "0.1.0").want(exitNotFound, "", "no published version yet")
	p.published()
	p.run("module", "download", "acme:widget", "0.9.0").want(exitNotFound, "", `has no version "0.9.0"; it has 0.1.0 (linux/amd64)`)
	p.run("module", "download", "acme:widget", "0.1.0", "--platform", "linux/arm64").
		want(exitNotFound, "", "0.1.0 is not published for linux/arm64: it has linux/amd64")
}

func TestModuleLists(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.run("module", "list").want(exitOK, "acme:widget  private     0         -       -", "")
	p.published()
	p.run("module", "update", "--module", p.meta).want(exitOK, "", "")
	p.run("module", "list").want(exitOK, "acme:widget  private     1         0.1.0   a widget", "")
	p.run("module", "versions", "acme:widget").want(exitOK, "linux/amd64", "")
	p.run("module", "versions", "acme:gadget").want(exitNotFound, "", "modfarm module create acme:gadget")
}

// TestStartAgain: a build that exists is not started again, and that is said.
func TestStartAgain(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.published()
	again := []string{"module", "build", "start", "--module", p.meta, "--version", "0.1.0", "--platforms", "linux/amd64"}
	p.run(again...).want(exitOK, "-", "this build of acme:widget 0.1.0 exists already, from 20")
	p.run(append(again, "--wait")...).want(exitOK, "-", "published acme:widget 0.1.0 linux/amd64 native ")
	fresh := p.run("module", "build", "start", "--module", p.meta, "--version", "0.2.0").want(exitOK, "-", "")
	if fresh.err.String() != "" {
		t.Errorf("a new build: %s", fresh.err.String())
	}
}

// TestCompletion: shells offer what the farm has when the key is set.
func TestCompletion(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.published()
	p.run("__complete", "module", "build", "logs", "").want(exitOK, "\tacme:widget 0.1.0\n", "")
	p.run("__complete", "module", "download", "").want(exitOK, "acme:widget", "")
	p.run("__complete", "module", "download", "acme:widget", "").want(exitOK, "0.1.0\n", "")
	p.run("__complete", "module", "build", "start", "--platforms", "linux/amd64,").
		want(exitOK, "linux/amd64,linux/arm64\n", "").atMost(0, "linux/amd64,linux/amd64")
	p.run("__complete", "module", "download", "--platform", "").want(exitOK, "darwin/arm64\n", "")
	p.run("__complete", "images", "make", "--kind", "").want(exitOK, "builder\nrun\nall\n", "")
	p.run("__complete", "images", "ref", "").want(exitOK, "builder\nrun\n", "")
	p.run("__complete", "images", "ref", "run", "").want(exitOK, "linux/arm32v7\n", "")
	delete(p.env, "MODFARM_KEY")
	if got := p.run("__complete", "module", "build", "logs", "").want(exitOK, "", "").out.String(); !strings.HasPrefix(got, ":") {
		t.Errorf("without a key: %q", got)
	}
}
