package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWatchBuild: what a build waits for is said, once for equal platforms; the
// log follows, news of the others come between its lines, and a verdict for each
// platform is the end.
func TestWatchBuild(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	r := p.begin("module", "build", "start", "--module", p.meta, "--version", "0.1.0", "--wait")
	r.says("linux/amd64: queued: number 1 in line, waiting until a worker that can build linux/amd64")
	one := p.claim(amd64)
	at := p.log(one, 0, "compiling…")
	r.says("==> linux/amd64\n")
	r.says("compiling…")
	two := p.claim(arm64)
	p.log(two, 0, "cannot\n")
	p.finish(two, client.Outcome{Kind: client.OutcomeFailed, Reason: "build failed with status 1; see the log"})
	p.log(one, at, " done\n")
	r.says("linux/arm64: failed\n")
	p.publish(one, apitest.AMD64)
	r.want(exitBuildFailed, "", "==> linux/arm64\ncannot\n").
		atMost(2, "build failed with status 1").atMost(1, "compiling… done").atMost(1, "==> linux/amd64")
	verdicts := regexp.MustCompile(`published acme:widget 0\.1\.0 linux/amd64 native \d+ bytes sha256:[0-9a-f]{64} \d+s
failed acme:widget 0\.1\.0 linux/arm64: build failed with status 1; see the log
error: the build failed\n$`)
	if !verdicts.MatchString(r.err.String()) {
		t.Errorf("the end is not the verdicts:\n%s", r.err.String())
	}
	if !regexp.MustCompile(`^[0-9a-f-]{36}\n$`).MatchString(r.out.String()) {
		t.Errorf("standard output is not the build id: %q", r.out.String())
	}
	id := strings.TrimSpace(r.out.String())
	logs := p.run("module", "build", "logs", id, "--wait").want(exitBuildFailed, "==> linux/amd64\ncompiling… done\n", "failed acme:widget 0.1.0 linux/arm64: ")
	if strings.Contains(logs.out.String(), "failed acme") || strings.Contains(logs.err.String(), "compiling") {
		t.Errorf("log and verdicts are mixed: %q, %q", logs.out.String(), logs.err.String())
	}
	p.run("module", "build", "logs", id, "--wait", "--platform", "linux/amd64").want(exitOK, "compiling", "published acme:widget")
	p.run("module", "build", "logs", id, "--platform", "linux/arm/v7").want(exitFailed, "", "is for linux/amd64, linux/arm64 only")
	p.run("module", "build", "logs", id, "--platform", "vax").want(exitUsage, "", "--platform: ")
}

// TestWatchASilentBuild: a reader is told that a job goes on when its log says nothing for long, also within a line, and
// again after as long. What the farm keeps is what the build said.
func TestWatchASilentBuild(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	id := strings.TrimSpace(p.run("module", "build", "start", "--module", p.meta, "--version", "0.1.0", "--platforms", "linux/amd64").want(exitOK, "-", "").out.String())
	job := p.claim(amd64)
	at := p.log(job, 0, "compiling…")
	c, err := client.New(client.Config{URL: p.farm.URL, KeyID: p.farm.KeyID, Key: p.farm.Key})
	if err != nil {
		t.Fatal(err)
	}
	var log, said lines
	w := newWatch(c, id, module.Platform{}, &log, &said)
	w.quiet = 50 * time.Millisecond
	ended := make(chan error, 1)
	go func() {
		_, err := w.run(t.Context())
		ended <- err
	}()
	apitest.Eventually(t, "two signs of life", func() bool { return strings.Count(said.String(), "; no output for ") >= 2 })
	p.log(job, at, " done\n")
	p.publish(job, apitest.AMD64)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !regexp.MustCompile(`(?m)^linux/amd64: running(, native)? on w1(: build)?; no output for [0-9.]+m?s$`).MatchString(said.String()) {
		t.Errorf("said:\n%s", said.String())
	}
	if want := "==> linux/amd64\ncompiling… done\n"; !strings.HasPrefix(log.String(), want) {
		t.Errorf("the log is %q, want %q", log.String(), want)
	}
}

// TestLeaveBuild: an interrupt leaves the build alone and says how to go on;
// cancelling ends it.
func TestLeaveBuild(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	r := p.begin("module", "build", "start", "--module", p.meta, "--version", "0.1.0", "--wait", "--url", p.farm.URL)
	r.says(": queued: ")
	r.interrupted()
	id := strings.TrimSpace(r.want(exitInterrupted, "", "").out.String())
	r.want(exitInterrupted, "", fmt.Sprintf("the build goes on; follow it with: modfarm module build logs %[1]s --wait --url %[2]s; "+
		"stop it with: modfarm module build cancel %[1]s --url %[2]s", id, p.farm.URL))

	p.run("module", "build", "start", "--module", p.meta, "--version", "0.1.0").want(exitOK, id, "is under way since")
	logs := p.begin("module", "build", "logs", id, "--wait")
	logs.says(": queued: ")
	p.run("module", "build", "cancel", id).want(exitOK, "linux/amd64: cancelled\nlinux/arm64: cancelled\n", "")
	logs.want(exitBuildFailed, "", "cancelled acme:widget 0.1.0 linux/amd64, linux/arm64: ").atMost(0, "the build failed")
	p.run("module", "build", "list").want(exitOK, "as above", "").atMost(1, "cancelled on request")
	p.run("module", "build", "cancel", "no-such-build").want(exitNotFound, "", "no-such-build")
}

// TestJSON: what scripts read is spelled in one way and documented.
func TestJSON(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPerson(t)
	r := p.begin("module", "build", "start", "--module", p.meta, "--version", "0.1.0", "--wait", "--json", "--platforms", "linux/amd64")
	p.publish(p.claim(amd64), apitest.AMD64)
	r.want(exitOK, `"state":"published"`, "published acme:widget 0.1.0 linux/amd64 native")
	var build client.Build
	if err := json.Unmarshal([]byte(r.out.String()), &build); err != nil || !build.OK() || build.Jobs[0].Release == nil {
		t.Errorf("not a build (%v): %s", err, r.out.String())
	}
	other := strings.TrimSpace(p.run("module", "build", "start", "--module", p.meta, "--version", "0.2.0").want(exitOK, "-", "").out.String())
	for _, args := range [][]string{
		{"module", "build", "list", "--json"},
		{"module", "build", "start", "--json", "--module", p.meta, "--version", "0.1.0", "--platforms", "linux/amd64"},
		{"module", "build", "cancel", "--json", other},
		{"module", "list", "--json"},
		{"module", "versions", "--json", "acme:widget"},
		{"module", "search", "--json", "widget"},
		{"module", "info", "--json", "acme:widget"},
		{"module", "info", "--json", "acme:widget@0.1.0"},
		{"module", "download", "--json", "acme:widget", "0.1.0", "--platform", "linux/amd64", "--output", filepath.Join(t.TempDir(), "file")},
	} {
		got := p.run(args...).want(exitOK, `"0.`, "")
		var value any
		if err := json.Unmarshal([]byte(got.out.String()), &value); err != nil {
			t.Errorf("%v: %v: %s", args, err, got.out.String())
		}
		for _, name := range regexp.MustCompile(`"([^"]*)":`).FindAllStringSubmatch(got.out.String(), -1) {
			if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(name[1]) || !strings.Contains(string(page), code(name[1])) {
				t.Errorf("%v: the name %q is no good, or not in docs/operate.md", args, name[1])
			}
		}
	}
}
