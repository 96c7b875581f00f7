package docker_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard/guardtest"
)

// TestSecondWorkerOfANameStartsNot starts a worker with the name of one that builds. It must neither start nor touch
// the containers of the first one.
func TestSecondWorkerOfANameStartsNot(t *testing.T) {
	t.Parallel()
	var opts docker.Options
	first, work := newRunner(t, func(o *docker.Options) { opts = *o })
	box := start(t, first, workers.Room{Folder: folder(t, work)})

	opts.WorkDir, opts.Guard = t.TempDir(), guardtest.Program(t)
	second, err := docker.New(t.Context(), opts)
	if err == nil {
		t.Error("the second worker starts", second.Close(t.Context()))
	}
	if !errors.Is(err, module.ErrConflict) {
		t.Errorf("the second worker ends with %v", err)
	}
	var out bytes.Buffer
	if exit, err := box.Run(t.Context(), workers.Command{Script: "echo still here", Output: &out, Dir: "/"}); err != nil || exit.Code != 0 {
		t.Errorf("the first worker's build: %v, %v: %s", exit, err, out.String())
	}
}
