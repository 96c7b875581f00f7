package source_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/module/source"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// TestFewGits holds how often git is started on the road of every build: each start takes longer than what git then
// does in a small repository.
func TestFewGits(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere git makes the repository")
	}
	f := newFixture(t)
	commit := commit(t, f.repo, map[string]string{"meta.json": "{}", "modfarm.yaml": "x: y\n"}, "v0.2.0")
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	calls := filepath.Join(t.TempDir(), "calls")
	counting := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s\nexec %s \"$@\"\n", calls, git)
	if err := os.WriteFile(filepath.Join(counting, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", counting+":"+os.Getenv("PATH"))
	counted := func(what string, most int, run func() error) {
		t.Helper()
		if err := run(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		text, err := os.ReadFile(calls)
		if err != nil && most > 0 {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > most {
			t.Errorf("%s started git %d times, want at most %d:\n%s", what, n, most, text)
		}
		_ = os.Remove(calls)
	}
	repo, reader, dir := source.Repository{URL: f.url}, new(source.Git), filepath.Join(t.TempDir(), "tree")
	counted("Resolve", 1, func() error {
		got, err := reader.Resolve(t.Context(), repo, "v0.2.0")
		if err == nil && got != commit {
			err = fmt.Errorf("got %s, want %s", got, commit)
		}
		return err
	})
	counted("ReadFiles of one file", 3, func() error {
		files, err := reader.ReadFiles(t.Context(), repo, commit, []string{"meta.json", "absent.yaml"}, 100)
		if err == nil && (len(files) != 1 || string(files["meta.json"]) != "{}") {
			err = fmt.Errorf("got %q", files)
		}
		return err
	})
	counted("ReadFiles of two", 4, func() error {
		files, err := reader.ReadFiles(t.Context(), repo, commit, []string{"./meta.json", "modfarm.yaml"}, 100)
		if err == nil && (len(files) != 2 || string(files["./meta.json"]) != "{}" || string(files["modfarm.yaml"]) != "x: y\n") {
			err = fmt.Errorf("got %q", files)
		}
		return err
	})
	counted("Fetch", 2, func() error { return reader.Fetch(t.Context(), repo, commit, dir) })
	want, err := gittest.Git(t.Context(), dir, "log", "-1", "--format=%ct")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(calls)
	counted("CommitTime", 0, func() error {
		got, err := reader.CommitTime(t.Context(), dir)
		if err == nil && fmt.Sprint(got.Unix()) != strings.TrimSpace(want) {
			err = fmt.Errorf("got %s, want %s", got, want)
		}
		return err
	})
	if out, err := gittest.Git(t.Context(), dir, "fsck", "--strict"); err != nil {
		t.Errorf("the repository is not whole: %v\n%s", err, out)
	}
	if out, err := gittest.Git(t.Context(), dir, "status", "--porcelain"); err != nil || out != "" {
		t.Errorf("the tree is not clean: %q, %v", out, err)
	}
}
