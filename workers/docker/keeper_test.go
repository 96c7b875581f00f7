package docker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// long is a grace that no test waits for.
const long = time.Hour

var errEnded = errors.New("it was to end")

// stopAt runs a script until it says "ready", then has it end, and returns what it said.
func stopAt(t *testing.T, c workers.Container, script string) string {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var said strings.Builder
	_, err := c.Run(ctx, workers.Command{Script: script, Dir: workers.WorkspacePath, Output: writer(func(p []byte) (int, error) {
		n, err := said.Write(p)
		if strings.Contains(said.String(), "ready") {
			cancel(errEnded)
		}
		return n, err
	})})
	if !errors.Is(err, errEnded) {
		t.Errorf("the script ended with %v: %s", err, said.String())
	}
	return said.String()
}

type writer func([]byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestScriptsAreAskedToEnd: each process of a build hears SIGTERM, not only the first one, and has its time; when all
// are done nobody waits for the rest of the grace. That holds when not one more process may be started, too.
func TestScriptsAreAskedToEnd(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"a tree of processes": `bash -c 'trap "sleep 0.3; echo the child tidied; exit" TERM; echo read; while :; do sleep 0.1; done' &
			trap 'echo the script tidied; exit' TERM; sleep 0.5; echo y; echo ready; while :; do sleep 0.1; done`,
		"no process left": `trap 'echo the script tidied; echo the child tidied; exit' TERM
			(for i in {1..100}; do sleep 300 & done) 2>/dev/null; echo ready; while :; do :; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, work := newRunner(t, func(o *docker.Options) { o.Limits.Grace, o.Limits.Processes = long, 32 })
			c := start(t, r, workers.Room{Folder: folder(t, work)})
			said := stopAt(t, c, script)
			for _, want := range []string{"the script tidied", "the child tidied"} {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in what was said:\n%s", want, said)
				}
			}
		})
	}
}

// TestGraceEnds: what does not listen is killed, with everything that it started.
func TestGraceEnds(t *testing.T) {
	t.Parallel()
	var api *client.Client
	r, work := newRunner(t, func(o *docker.Options) { api, o.Limits.Grace = o.Engine, 300*time.Millisecond })
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	id := containerOf(t, api, "job-"+strings.ToLower(t.Name()))
	stopAt(t, c, `trap '' TERM; sleep 3600 & echo ready; sleep 3600`)
	eventually(t, "the container has ended", func() bool {
		got, err := api.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
		return err == nil && !got.Container.State.Running
	})
}

// TestGraceIsNotForExcess: a build that takes more than it may gets no time to take even more.
func TestGraceIsNotForExcess(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t, func(o *docker.Options) { o.Limits.Grace, o.Limits.Disk = long, 8<<20 })
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	_, err := c.Run(t.Context(), workers.Command{
		Script: `trap '' TERM; head -c 64M /dev/zero > large; sleep 3600`, Dir: workers.WorkspacePath, Output: writer(func(p []byte) (int, error) { return len(p), nil }),
	})
	if _, ok := errors.AsType[*workers.Exceeded](err); !ok {
		t.Errorf("the script ended with %v, want the limit", err)
	}
}
