package workers_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/modfarm/modfarm/workers"
)

func TestScriptsWithoutExecBit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside.sh")
	for name, text := range map[string]string{
		"bash.sh": "#!/bin/bash\necho", "env.sh": "#! /usr/bin/env bash\necho", "plain.sh": "echo hello\n", "sub/sh.sh": "#!/bin/sh -e\n",
		"python.py": "#!/usr/bin/env python3\n", "program": "\x7fELF\x00\x00", "empty": "", outside: "echo",
	} {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "fine.sh"), []byte("#!/bin/bash\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.sh")); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]string{
		"./bash.sh":                       "bash ./bash.sh",
		"  ./env.sh --fast":               "  bash ./env.sh --fast",
		"./plain.sh && ./sub/sh.sh":       "bash ./plain.sh && bash ./sub/sh.sh",
		"make; ./bash.sh || (./plain.sh)": "make; bash ./bash.sh || (bash ./plain.sh)",
		"true\n./bash.sh":                 "true\nbash ./bash.sh",
		"./fine.sh":                       "./fine.sh",
		"bash ./bash.sh":                  "bash ./bash.sh",
		"cat ./bash.sh":                   "cat ./bash.sh",
		"./python.py":                     "./python.py",
		"./program":                       "./program",
		"./empty":                         "./empty",
		"./absent.sh":                     "./absent.sh",
		"./link.sh":                       "./link.sh",
		"./sub":                           "./sub",
		"./../outside.sh":                 "./../outside.sh",
	} {
		if got := workers.Runnable(dir, script); got != want {
			t.Errorf("%q runs as %q, want %q", script, got, want)
		}
	}
}
