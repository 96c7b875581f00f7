package action_test

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/action"
	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	arm := succeeds("linux/arm64", "qemu", 'b')
	arm.queued = 3
	arm.release.Warnings = []string{"bin/x.exe is for windows | not linux"}
	s := newStage(t, succeeds("linux/amd64", "native", 'a'), arm)
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	golden(t, "publish.stdout", s.printed(t))
	golden(t, "publish.output", s.file(t, "output"))
	golden(t, "publish.summary", s.file(t, "summary"))

	version, _ := module.ParseVersion("0.1.0")
	want := client.BuildRequest{
		Module: module.ID{Namespace: "acme", Name: "widget"}, Version: version,
		Repo: "https://github.com/acme/widget", Ref: s.vars["INPUT_REF"], Token: "ghs_checkout", Workdir: ".",
		Distro:    "bookworm",
		Platforms: []module.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}},
	}
	if diff := cmp.Diff(want, s.farm.request); diff != "" {
		t.Errorf("request differs (-want +got):\n%s", diff)
	}
	docs := map[string]string{"": readme, "acme:widget:indoor": "For rooms."}
	if diff := cmp.Diff(docs, s.farm.docs); diff != "" {
		t.Errorf("documents differ (-want +got):\n%s", diff)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	bad := &script{
		platform: module.Platform{OS: "linux", Arch: "arm64"}, strategy: module.StrategyQEMU, end: client.JobFailed,
		reason: "build.build ended with exit code 2; see the log",
		chunks: []client.LogChunk{
			chunk("build", strings.Repeat("noise\n", 3000)),
			chunk("build", "\x1b[31mmain.c:1: error: 100% wrong\x1b[0m\r\n"),
			chunk("build", "the token is ghs_checkout\n"),
			chunk("Result", "linux/arm64 failed: build.build ended with exit code 2; see the log\n"),
		},
	}
	s := newStage(t, succeeds("linux/amd64", "native", 'a'), bad)
	err := s.run(t.Context())
	if !errors.Is(err, action.ErrBuildFailed) || !strings.Contains(err.Error(), "linux/arm64") || strings.Contains(err.Error(), "amd64") {
		t.Errorf("error = %v, want a failed build of linux/arm64 only", err)
	}
	annotation := regexp.MustCompile(`(?m)^::error .*$`).FindString(s.out.String())
	for _, part := range []string{
		"title=linux/arm64 failed::", "noise%0A", "main.c:1: error: 100%25 wrong%0A", "the token is ***%0A",
		"failed: build.build ended with exit code 2; see the log",
	} {
		if !strings.Contains(annotation, part) {
			t.Errorf("the annotation lacks %q: %s", part, annotation)
		}
	}
	if lines := strings.Count(annotation, "%0A") + 1; lines > 20 {
		t.Errorf("the annotation has %d lines, want at most 20", lines)
	}
	if strings.Contains(annotation, "\x1b") || strings.Count(annotation, "exit code 2") != 1 {
		t.Errorf("the annotation has colours, or says the reason twice: %q", annotation)
	}
	out := s.outputs(t)
	if out["status"] != "failed" || out["version"] != "0.1.0" {
		t.Errorf("outputs = %v, want status failed of 0.1.0", out)
	}
	if summary := s.file(t, "summary"); !strings.Contains(summary, "**linux/arm64 failed:** build.build ended with exit code 2") {
		t.Errorf("the summary lacks the reason:\n%s", summary)
	}
}

// TestLogsCannotCommand plays the runner: between stop-commands and its token nothing counts.
func TestLogsCannotCommand(t *testing.T) {
	t.Parallel()
	evil := succeeds("linux/amd64", "native", 'a')
	evil.chunks = []client.LogChunk{
		chunk("build", "::set-output name=status::published\n::error::fake\n  ::stop-commands::x\n::x::\n##[error]fake\n::add-mask::linux"),
	}
	s := newStage(t, evil)
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped := ""
	for line := range strings.Lines(s.out.String()) {
		line = strings.TrimSpace(line)
		switch {
		case stopped != "":
			if line == "::"+stopped+"::" {
				stopped = ""
			}
		case strings.HasPrefix(line, "::stop-commands::"):
			stopped = strings.TrimPrefix(line, "::stop-commands::")
		case strings.Contains(line, "fake"), strings.Contains(line, "set-output"), line == "::add-mask::linux":
			t.Errorf("the runner would obey %q", line)
		}
	}
	if stopped != "" {
		t.Error("commands stay stopped after the log")
	}
}

func TestSecretsAreMaskedFirst(t *testing.T) {
	t.Parallel()
	s := newStage(t, succeeds("linux/amd64", "native", 'a'))
	s.vars["INPUT_URL"] = "" // even when the step fails at once
	s.run(t.Context())       //nolint:errcheck // see TestInputs
	want := "::add-mask::s3cret-value\n::add-mask::ghs_checkout\n"
	if got := s.out.String(); !strings.HasPrefix(got, want) {
		t.Errorf("output begins with %q, want %q", got[:min(len(got), 80)], want)
	}
	if n := strings.Count(s.out.String(), "s3cret-value"); n != 1 {
		t.Errorf("the key is printed %d times, want once, for the mask", n)
	}
}

func TestNoWait(t *testing.T) {
	t.Parallel()
	s := newStage(t, &script{platform: module.Platform{OS: "linux", Arch: "amd64"}, hangs: true})
	s.vars["INPUT_WAIT"], s.vars["INPUT_VERSION"] = "false", ""
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"build-id": buildID, "status": "started", "version": "", "artifacts": "[]"}
	if diff := cmp.Diff(want, s.outputs(t)); diff != "" {
		t.Errorf("outputs differ (-want +got):\n%s", diff)
	}
	if s.farm.looks != 0 || !s.farm.request.Version.IsZero() {
		t.Errorf("the step looked at the build %d times and asked for version %q, want neither", s.farm.looks, s.farm.request.Version)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := newStage(t, &script{
		platform: module.Platform{OS: "linux", Arch: "amd64"}, hangs: true, chunks: []client.LogChunk{chunk("build", "compiling")},
	})
	s.farm.onFollow = func(string) { cancel() }
	err := s.run(ctx)
	if !errors.Is(err, context.Canceled) || !s.farm.cancelled {
		t.Errorf("error = %v, cancelled = %t, want a cancelled build", err, s.farm.cancelled)
	}
	if out := s.outputs(t); out["status"] != "cancelled" {
		t.Errorf("status = %q, want cancelled", out["status"])
	}
	if text := s.printed(t); !strings.Contains(text, "::TOKEN-1::\n::endgroup::\n") {
		t.Errorf("the group was not closed:\n%s", text)
	}
}

func TestFarmRefuses(t *testing.T) {
	t.Parallel()
	unreachable := errors.Join(errors.New("the farm at https://farm.example.com does not answer"), module.ErrUnavailable)
	tests := map[string]struct {
		set  func(*fakeFarm)
		want []string
	}{
		"key":         {func(f *fakeFarm) { f.loginErr = module.ErrUnauthorized }, []string{`input key-id "key-1"`, "https://farm.example.com", "check that both secrets"}},
		"unreachable": {func(f *fakeFarm) { f.loginErr = unreachable }, []string{`input url "https://farm.example.com"`, "does not answer", "a runner that can reach it"}},
		"module":      {func(f *fakeFarm) { f.updateErr = module.ErrNotFound }, []string{"acme:widget", "meta-path", "not found"}},
		"build":       {func(f *fakeFarm) { f.startErr = module.ErrConflict }, []string{"start the build of acme:widget", "input ref"}},
		"commands":    {func(f *fakeFarm) { f.startErr = errors.New("no\n::error::fake ghs_checkout ##[error]") }, []string{"> ::error::fake *** ## [error]"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, succeeds("linux/amd64", "native", 'a'))
			test.set(s.farm)
			err := s.run(t.Context())
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one with %q", err, want)
				}
			}
			if n := strings.Count(s.out.String(), "::error"); err != nil && n < 1 {
				t.Errorf("the error is no annotation:\n%s", s.out.String())
			}
		})
	}
}

// faultLine begins a fault; advice may have lines of its own.
func TestOutsideARunner(t *testing.T) {
	t.Parallel()
	s := newStage(t, succeeds("linux/amd64", "native", 'a'))
	s.vars["GITHUB_OUTPUT"], s.vars["GITHUB_STEP_SUMMARY"] = "", ""
	for _, name := range []string{"KEY-ID", "KEY-VALUE"} { // no name for a shell
		s.vars["INPUT_"+strings.ReplaceAll(name, "-", "_")] = s.vars["INPUT_"+name]
		delete(s.vars, "INPUT_"+name)
	}
	if err := s.run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOutputFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newStage(t, succeeds("linux/amd64", "native", 'a'))
	s.vars["GITHUB_OUTPUT"] = filepath.Join(s.dir, "no", "such", "folder")
	if err := s.run(t.Context()); err == nil || !strings.Contains(err.Error(), "write to the runner") {
		t.Errorf("error = %v, want that it cannot write to the runner", err)
	}
}
