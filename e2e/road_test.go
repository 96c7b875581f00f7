// Package e2e_test takes version tags of real repositories all the way to
// archives that run.
package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// TestRoad publishes the three examples for two platforms: the same way that
// the demo goes, with the third example beside.
func TestRoad(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	out := &lines{t: t}
	platforms := []module.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}}
	modfarm, act, err := road.Prepare(t.Context(), root, out, platforms)
	if err != nil {
		t.Fatal(err)
	}
	worker := workerName()
	r, err := road.Open(t.Context(), road.Config{
		Root: root, Dir: t.TempDir(), Modfarm: modfarm, Act: act, Tag: "v0.1.0", Out: out,
		ActionImage: road.ActionImage(root), UpArgs: append(road.UpArgs(os.LookupEnv), "--name", worker),
	})
	if err != nil {
		t.Fatal(err)
	}
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

// lines writes progress to the test's log.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
