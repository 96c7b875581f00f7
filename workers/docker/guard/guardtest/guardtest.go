// Package guardtest gives tests a program that guards networks, as modfarm itself does. It never starts one.
package guardtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Program returns the path of a static program for docker.Options.Guard. The test's own program would not do: it may
// need libraries of this machine.
func Program(t testing.TB) string {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "guard")
	if err := os.WriteFile(path, program, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

// build compiles the program once per process.
//
//nolint:gochecknoglobals // what is compiled once is kept once
var build = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "modfarm-guard-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "guard")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path,
		"github.com/modfarm/modfarm/workers/docker/guard/testdata/guard")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guard of tests: %w: %s", err, out)
	}
	return os.ReadFile(path)
})
