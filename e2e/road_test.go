// Package e2e_test takes version tags of real repositories all the way to
// archives that run.
package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/e2e/road"
)

// TestRoad publishes the three examples for two platforms: the same way that
// the demo goes, with the third example beside.
func TestRoad(t *testing.T) {
	r, worker := openRoad(t, "v0.1.0")
	artifacts, err := r.TravelAll(t.Context(), road.GoSensor(), road.PythonSensor(), road.CSensor())
	if err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("stop the farm: %v", err)
	}
	if len(artifacts) != 6 {
		t.Errorf("%d artifacts, want 6", len(artifacts))
	}
	for _, a := range artifacts {
		if a.Version.String() != "0.1.0" {
			t.Errorf("%s: published as %q; the tag v0.1.0 is version 0.1.0", a.Module, a.Version)
		}
		t.Log(a)
	}
	left, err := road.LeftoversOf(t.Context(), worker)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind in the engine: %s", strings.Join(left, ", "))
	}
}

// openRoad opens a road of this checkout for two platforms, with what it needs made first. The caller closes it; worker
// is the name of its farm's worker.
func openRoad(t *testing.T, tag string, upArgs ...string) (r *road.Road, worker string) {
	t.Helper()
	cfg := roadConfig(t, tag)
	worker = workerName()
	cfg.UpArgs = append(append(cfg.UpArgs, "--name", worker), upArgs...)
	r, err := road.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, worker
}

// checkout is the folder that this package is tested in.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// roadConfig is a road of this checkout, with what it needs made.
func roadConfig(t *testing.T, tag string) road.Config {
	t.Helper()
	root := checkout(t)
	out := &lines{t: t}
	modfarm, act, err := road.Prepare(t.Context(), root, out, bothPlatforms())
	if err != nil {
		t.Fatal(err)
	}
	return road.Config{
		Root: root, Dir: t.TempDir(), Modfarm: modfarm, Act: act, Tag: tag, Out: out,
		ActionImage: road.ActionImage(root), UpArgs: road.UpArgs(os.LookupEnv),
	}
}

// lines writes progress to the test's log.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
