package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module/archive"
)

// TestBuildFromSource sends a folder, without what git would leave out, and the worker gets just that.
func TestBuildFromSource(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"widget/meta.json": metaJSON, "widget/build.sh": "#!/bin/sh\n", "widget/.gitignore": "*.key\n/dist\n",
		"widget/secret.key": "secret", "widget/dist/old": "old", ".git/config": "[remote]", "shared/lib.c": "int lib;",
	} {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o700); err != nil { //nolint:gosec // one of them is a program
			t.Fatal(err)
		}
	}
	args := []string{
		"module", "build", "start", "--module", filepath.Join(dir, "widget", "meta.json"), "--from-source", "--path", dir,
		"--workdir", "widget", "--version", "v1.0.0", "--platforms", "linux/amd64",
	}
	started := p.run(args...).want(exitOK, "", "")
	id := strings.TrimSpace(started.out.String())
	again := p.run(args...).want(exitOK, id+"\n", "nothing new is built")
	again.atMost(1, id)

	lease := p.claim(amd64)
	build, err := p.farm.Farm.Build(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var source bytes.Buffer
	if err := p.work.GetSource(t.Context(), lease, build.Commit, &source); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := archive.Extract(t.Context(), &source, out, archive.Limits{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = fs.WalkDir(os.DirFS(out), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, name)
		}
		return err
	})
	if diff := cmp.Diff([]string{"shared/lib.c", "widget/.gitignore", "widget/build.sh", "widget/meta.json"}, got); diff != "" || err != nil {
		t.Errorf("the worker got (-want +got):\n%s%v", diff, err)
	}
	if info, err := os.Stat(filepath.Join(out, "widget", "build.sh")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the program's mode: %v, %v", info, err)
	}

	p.run(append(args, "--ref", "v1")...).want(exitUsage, "", "leave out --ref")
	p.run("module", "build", "start", "--module", p.meta, "--from-source", "--path", dir).want(exitUsage, "", "there is no meta.json")
}
