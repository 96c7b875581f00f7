package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// scriptCases are scripts that fail, or cannot be run, or never end.
func scriptCases() []badCase {
	return []badCase{
		{
			name: "exec-bit-absent", want: client.JobPublished,
			prepare: withoutExec("build.sh", "#!/bin/bash\n"+goodBuild+"\n"),
			after:   logSays("build.sh has no exec bit", "git update-index --chmod=+x build.sh"),
		},
		{
			name: "exec-bit-python", want: client.JobFailed,
			prepare: withoutExec("build.sh", "#!/usr/bin/env python3\nprint('hello')\n"),
			says:    []string{"build.sh", "no exec bit", "git update-index --chmod=+x build.sh"},
		},
		{
			name: "fails-at-line-3", want: client.JobFailed,
			files: map[string]string{"build.sh": "#!/bin/bash\nset -e\nmake-the-module --all\necho never\n"},
			says:  []string{"build (./build.sh)", "line 3", "make-the-module", "exit code 127"},
			after: logSays("line 3: make-the-module: command not found"),
		},
		{
			name: "setup-fails", build: goodBuild, want: client.JobFailed, meta: func(m *module.Manifest) {
				m.Build.Setup = "echo the network library is missing >&2; exit 4"
			},
			says: []string{"setup", "exit code 4", "the network library is missing"},
		},
		{
			name: "interpreter-absent", want: client.JobFailed,
			files: map[string]string{"build.sh": "#!/opt/no/such/shell\necho hello\n"}, says: []string{"build.sh", "interpreter"},
		},
		{
			name: "never-ends", build: "echo waiting; sleep infinity", want: client.JobFailed,
			files: map[string]string{"modfarm.yaml": "timeouts:\n  build: 3s\n"},
			says:  []string{"build", "3s", "timeouts.build", "modfarm.yaml"},
		},
		{
			name: "never-ends-in-all", build: goodBuild, want: client.JobFailed,
			meta:  func(m *module.Manifest) { m.Build.Setup = "trap '' TERM INT HUP; while :; do sleep 1; done" },
			files: map[string]string{"modfarm.yaml": "timeouts:\n  total: 3s\n"},
			says:  []string{"as a whole", "3s", "timeouts.total", "modfarm.yaml"},
		},
	}
}

// withoutExec writes a script whose exec bit is missing.
func withoutExec(name, content string) func(*testing.T, *yard, *gittest.Repo) {
	return func(t *testing.T, _ *yard, repo *gittest.Repo) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(repo.Dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// logSays looks for words in the log.
func logSays(words ...string) func(*testing.T, *yard, client.Build, string) {
	return func(t *testing.T, _ *yard, _ client.Build, log string) {
		t.Helper()
		for _, want := range words {
			if !strings.Contains(log, want) {
				t.Errorf("the log does not say %q:\n%s", want, end(log))
			}
		}
	}
}
