package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// vsAct tells how many times faster the farm builds and publishes go-sensor than act, which runs workflows of GitHub
// on a machine of one's own, runs its two scripts in the same image. Both find nothing in any cache.
type vsAct struct{ *sensorBuilds }

// Name implements measure.
func (vsAct) Name() string { return "vs-act" }

func (m vsAct) expect() { m.sensorBuilds.expect(actKind, nativeKind) }

// Run implements measure.
func (m vsAct) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.run(ctx, l); err != nil {
		return result{}, err
	}
	r := m.compare(actKind, nativeKind, 1)
	r.atLeast = true
	return r, nil
}

// workflow is what a repository of GitHub has to build the module. act leaves out the checkout: the folder is there.
const workflow = `on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: ./setup.sh
      - run: ./build.sh
      - run: test -s dist/archive.tar.gz
`

// actRun has act build a copy of a folder in the image that the farm builds in.
func (l *lab) actRun(ctx context.Context, folder string) (time.Duration, error) {
	image, err := l.image(ctx)
	if err != nil {
		return 0, err
	}
	act, err := l.actProgram(ctx)
	if err != nil {
		return 0, err
	}
	repo, _, err := l.newRepository(ctx, folder)
	if err != nil {
		return 0, err
	}
	const file = ".github/workflows/build.yml" // the example has one of its own, which asks a farm
	if _, err := repo.Commit(ctx, map[string]string{file: workflow}); err != nil {
		return 0, err
	}
	home := filepath.Join(l.dir, "act")
	cmd := exec.CommandContext(ctx, act, "push", "--workflows", file, "--rm", "--pull=false", "--no-cache-server", "--platform", "ubuntu-latest="+image,
		"--container-options", strings.Join(surroundings(), " "))
	cmd.Dir = repo.Dir
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // interrupted once, by us: twice, and it leaves its containers
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Run(); err != nil {
		text := out.Bytes()
		return 0, fmt.Errorf("act: %w\n%s", err, text[max(0, len(text)-4000):])
	}
	return time.Since(began), nil
}

// actProgram makes act the first time.
func (l *lab) actProgram(ctx context.Context) (string, error) {
	program := filepath.Join(l.root, ".cache", "bin", "act")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", ".cache/bin/act")
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.root, l.out, l.out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("make act: %w", err)
	}
	return program, nil
}
