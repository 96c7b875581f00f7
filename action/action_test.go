package action_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/action"
	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const metaJSON = `{
  "module_id": "acme:widget",
  "visibility": "private",
  "url": "https://github.com/acme/widget",
  "description": "A widget",
  "models": [{"api": "rdk:component:sensor", "model": "acme:widget:indoor", "markdown_link": "README.md#model-indoor"}],
  "markdown_link": "README.md",
  "entrypoint": "bin/widget",
  "build": {"build": "./build.sh", "path": "dist/archive.tar.gz", "arch": ["linux/amd64", "linux/arm64"]}
}`

const readme = "# widget\n\nAll about it.\n\n## Model indoor\n\nFor rooms.\n\n## Other\n\nNo.\n"

// stage is a step's surroundings: a workspace, the runner's files, and a farm.
type stage struct {
	dir  string
	vars map[string]string
	farm *fakeFarm
	out  bytes.Buffer
}

func newStage(t *testing.T, scripts ...*script) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), farm: &fakeFarm{scripts: scripts}}
	s.vars = map[string]string{
		"GITHUB_WORKSPACE":    s.dir,
		"GITHUB_OUTPUT":       filepath.Join(s.dir, "output"),
		"GITHUB_STEP_SUMMARY": filepath.Join(s.dir, "summary"),
		"GITHUB_SERVER_URL":   "https://github.com",
		"GITHUB_REPOSITORY":   "acme/widget-fork",
		"INPUT_URL":           "https://farm.example.com",
		"INPUT_KEY-ID":        "key-1",
		"INPUT_KEY-VALUE":     "s3cret-value",
		"INPUT_VERSION":       "v0.1.0",
		"INPUT_REF":           "0123456789abcdef0123456789abcdef01234567",
		"INPUT_TOKEN":         "ghs_checkout",
	}
	s.write(t, "meta.json", metaJSON)
	s.write(t, "README.md", readme)
	return s
}

func (s *stage) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) run(ctx context.Context) error { return action.Build(ctx, s.env()) }

func (s *stage) env() action.Env {
	return action.Env{
		Getenv:   func(name string) string { return s.vars[name] },
		Stdout:   &s.out,
		Poll:     time.Microsecond,
		Exchange: s.farm.exchange,
		Connect: func(cfg client.Config) (action.Farm, error) {
			farm, err := s.farm.connect(cfg)
			if err != nil {
				return nil, err
			}
			return farm, nil
		},
	}
}

func (s *stage) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var stopToken = regexp.MustCompile(`::stop-commands::([A-Z2-7]{26})\n`)

// printed is what the step printed, with the random tokens numbered.
func (s *stage) printed(t *testing.T) string {
	t.Helper()
	text := s.out.String()
	for i, match := range stopToken.FindAllStringSubmatch(text, -1) {
		if strings.Count(text, match[1]) != 2 {
			t.Errorf("the token of group %d is printed %d times, want 2", i+1, strings.Count(text, match[1]))
		}
		text = strings.ReplaceAll(text, match[1], "TOKEN-"+string(rune('1'+i)))
	}
	return text
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./action -update rewrites it:\n%s", path, diff)
	}
}

// outputs reads the file as the runner does.
func (s *stage) outputs(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	lines := strings.Split(s.file(t, "output"), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		name, delimiter, ok := strings.Cut(lines[i], "<<")
		if !ok || lines[i+2] != delimiter {
			t.Fatalf("output file is not in the form NAME<<DELIMITER: %q", lines)
		}
		found[name] = lines[i+1]
	}
	return found
}

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
var faultLine = regexp.MustCompile(`(?m)^(input |meta\.json: )`)

func TestInputs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		vars map[string]string
		meta string
		want []string
	}{
		"nothing given": {
			map[string]string{"INPUT_URL": "", "INPUT_KEY-ID": "", "INPUT_KEY-VALUE": "", "INPUT_META-PATH": "no/meta.json"},
			metaJSON,
			[]string{"input url: is missing", "input key-id: is missing, as is key-value", "\n    permissions:\n      contents: read\n      id-token: write\n", `input meta-path: "no/meta.json"`, "actions/checkout"},
		},
		"all wrong": {
			map[string]string{"INPUT_URL": "farm", "INPUT_VERSION": "main", "INPUT_PLATFORMS": "linux/amd64, linux/risc any", "INPUT_WAIT": "maybe"},
			metaJSON,
			[]string{`input url: "farm"`, `input version: "main"`, `input platforms: "linux/risc"`, `input platforms: "any": is a wildcard`, `input wait: "maybe"`},
		},
		"meta.json": {
			map[string]string{"INPUT_WAIT": "maybe"},
			strings.ReplaceAll(metaJSON, `"linux/arm64"`, `"linux/risc"`),
			[]string{`input wait: "maybe"`, "meta.json: line 9: build.arch[1]", "linux/risc"},
		},
		"half a key": {map[string]string{"INPUT_KEY-ID": ""}, metaJSON, []string{"input key-id: is missing, and key-value is given"}},
		"the other half": {
			map[string]string{"INPUT_KEY-VALUE": "", "INPUT_PUBLISH": "some", "INPUT_FAIL-FAST": "1"},
			metaJSON,
			[]string{"input key-value: is missing, and key-id is given", `input publish: "some"`, `input fail-fast: "1"`},
		},
		"no build command": {nil, strings.ReplaceAll(metaJSON, `"build": "./build.sh", `, ""), []string{"meta.json: build.build: is empty"}},
		"no repository": {
			map[string]string{"GITHUB_REPOSITORY": ""},
			strings.ReplaceAll(metaJSON, `"url": "https://github.com/acme/widget",`, ""),
			[]string{`input meta-path: the file has no "url"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, succeeds("linux/amd64", "native", 'a'))
			maps.Copy(s.vars, test.vars)
			s.write(t, "meta.json", test.meta)
			err := s.run(t.Context())
			if !errors.Is(err, module.ErrInvalid) {
				t.Fatalf("error = %v, want an invalid input", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one with %q", err, want)
				}
			}
			if got, want := strings.Count(s.out.String(), "::error"), len(faultLine.FindAllString(err.Error(), -1)); got != want {
				t.Errorf("%d annotations for %d faults:\n%s", got, want, s.out.String())
			}
			if s.farm.request.Repo != "" {
				t.Error("a build was started all the same")
			}
		})
	}
}

func TestPlatformsAndRepository(t *testing.T) {
	t.Parallel()
	s := newStage(t, succeeds("linux/arm64", "cross", 'c'))
	s.vars["INPUT_PLATFORMS"] = "linux/arm64,linux/arm64\nlinux/arm/v7"
	s.write(t, "meta.json", strings.ReplaceAll(metaJSON, `"url": "https://github.com/acme/widget",`, ""))
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []module.Platform{{OS: "linux", Arch: "arm64"}, {OS: "linux", Arch: "arm32v7"}}
	if diff := cmp.Diff(want, s.farm.request.Platforms); diff != "" {
		t.Errorf("platforms differ (-want +got):\n%s", diff)
	}
	if got := s.farm.request.Repo; got != "https://github.com/acme/widget-fork" {
		t.Errorf("repo = %q, want the workflow's", got)
	}
	var artifacts []map[string]any
	if err := json.Unmarshal([]byte(s.outputs(t)["artifacts"]), &artifacts); err != nil {
		t.Fatal(err)
	}
	if len(artifacts) != 1 || artifacts[0]["strategy"] != "cross" || artifacts[0]["seconds"] != 12.345 {
		t.Errorf("artifacts = %v, want one by cross in 12.345 s", artifacts)
	}
}

// TestOutsideARunner runs the step by hand: there are no files to write to.
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
