package action_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// TestRef: what is published is the workflow's commit unless something else is asked for; otherwise it is main, as the
// stock action has it.
func TestRef(t *testing.T) {
	t.Parallel()
	sha := strings.Repeat("d", 40)
	for name, test := range map[string]struct {
		ref, version, repository, want string
	}{
		"given":                {"v1", "v1.0.0", "acme/widget", "v1"},
		"published":            {"", "v1.0.0-rc1", "ACME/widget", sha},
		"dry run":              {"", "", "acme/widget", "main"},
		"another repository's": {"", "v1.0.0", "acme/workflows", "main"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, succeeds("linux/amd64", "native", 'a'))
			s.vars["INPUT_REF"], s.vars["INPUT_VERSION"] = test.ref, test.version
			s.vars["GITHUB_REPOSITORY"], s.vars["GITHUB_SHA"] = test.repository, sha
			if err := s.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.farm.request.Ref; got != test.want {
				t.Errorf("ref = %q, want %q", got, test.want)
			}
		})
	}
}

// TestFolder: the scripts of a module in a folder run there, and its documents are found there.
func TestFolder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ checkout, metaPath, workdir, want string }{
		"folder":                  {"", "modules/widget/meta.json", "", "modules/widget"},
		"workdir wins":            {"", "modules/widget/meta.json", "modules", "modules"},
		"dot":                     {"", "./meta.json", "", "."},
		"checkout in a folder":    {"src", "src/widget/meta.json", "", "widget"},
		"root of such a checkout": {"src", "src/meta.json", "", "."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, succeeds("linux/amd64", "native", 'a'))
			folder := filepath.Dir(filepath.Join(s.dir, test.metaPath))
			for _, dir := range []string{folder, filepath.Join(s.dir, test.checkout, ".git")} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Rename(filepath.Join(s.dir, "meta.json"), filepath.Join(s.dir, test.metaPath)); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(s.dir, "README.md"), filepath.Join(folder, "README.md")); err != nil {
				t.Fatal(err)
			}
			s.vars["INPUT_META-PATH"], s.vars["INPUT_WORKDIR"] = test.metaPath, test.workdir
			if err := s.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.farm.request.Workdir; got != test.want {
				t.Errorf("workdir = %q, want %q", got, test.want)
			}
			if s.farm.docs[""] != readme {
				t.Errorf("the module's own text is %q", s.farm.docs[""])
			}
		})
	}
}

// TestRulesOfTheBuild: what the farm keeps is asked of it, so that it holds without the step.
func TestRulesOfTheBuild(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.vars["INPUT_WAIT"], s.vars["INPUT_PUBLISH"], s.vars["INPUT_FAIL-FAST"], s.vars["INPUT_SKIP-LOGIN"] = "false", "all", "TRUE", "true"
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := s.farm.request; r.Publish != module.PublishAll || !r.FailFast {
		t.Errorf("asked for %+v", r)
	}
	look := "modfarm module build logs " + buildID + " --wait --url https://farm.example.com"
	if text := s.out.String(); !strings.Contains(text, look) || !strings.Contains(text, "::notice::input skip-login is ignored: ") {
		t.Errorf("printed:\n%s", text)
	}
	if !strings.Contains(s.file(t, "summary"), look) {
		t.Errorf("summary:\n%s", s.file(t, "summary"))
	}
}

// TestProblems: what compilers say becomes annotations at its line, each once for all platforms and no more than GitHub
// shows.
func TestProblems(t *testing.T) {
	t.Parallel()
	fails := func(platform string, log string) *script {
		s := succeeds(platform, "native", 'a')
		s.end, s.reason, s.release = client.JobFailed, "build.build ended with exit code 2", nil
		s.chunks = []client.LogChunk{chunk("build", log[:len(log)/2]), chunk("build", log[len(log)/2:])}
		return s
	}
	many := "src/a.c:1:2: error: ghs_checkout, twice\n./main.go:7:2: undefined: foo\n"
	for i := range 20 {
		many += "src/b.c:" + strings.Repeat("1", i+1)[:min(i+1, 8)] + ":1: error: more\n"
	}
	good := succeeds("linux/arm32v7", "native", 'b')
	good.chunks = []client.LogChunk{chunk("build", "src/a.c:3:1: warning: unused\nsrc/a.c:9:1: error: only printed by a test\n")}
	s := newStage(t, fails("linux/amd64", many), fails("linux/arm64", "src/a.c:1:5: error: ghs_checkout, twice\n"), good)
	if err := s.run(t.Context()); err == nil {
		t.Fatal("a failed build is a success")
	}
	text := s.out.String()
	for _, want := range []string{
		"::error file=src/a.c,line=1,title=linux/amd64%2C linux/arm64::***, twice\n", "::error file=main.go,line=7,title=linux/amd64::undefined: foo\n",
		"::warning file=src/a.c,line=3,title=linux/arm32v7::unused\n", "\n2 more remarks of compilers are in the logs\n",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the step does not print once %q:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n::error "); n != 10 {
		t.Errorf("%d errors, want the ten that GitHub shows", n)
	}
	if strings.Contains(text, "::only printed") {
		t.Error("a platform that was built has an error")
	}
}

// TestVersionFromATag: a tag of the module, by its name or its folder, is a version; one of another module is a mistake.
func TestVersionFromATag(t *testing.T) {
	t.Parallel()
	for tag, wrong := range map[string]string{
		"widget/v1.2.3": "", "Widget/1.2.3": "", "sensors/v1.2.3": "", "v1.2.3": "",
		"gadget/v1.2.3": `input version: "gadget/v1.2.3": is a tag of gadget, and meta.json is of acme:widget; run this step for tags of its module only, as widget/v1.2.3`,
		"widget/newest": `input version: "widget/newest": is no version such as 1.2.3 or v1.2.3-rc1, and no tag such as widget/v1.2.3`,
	} {
		s := newStage(t, succeeds("linux/amd64", "native", 'a'))
		s.vars["INPUT_VERSION"], s.vars["INPUT_WORKDIR"] = tag, "sensors"
		err := s.run(t.Context())
		if wrong != "" {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, want %s", tag, err, wrong)
			}
			continue
		}
		if got := s.farm.request.Version.String(); err != nil || got != "1.2.3" {
			t.Errorf("%s: built the version %q, %v", tag, got, err)
		}
	}
}
