package docker_test

import (
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// TestWaitingGuardIsLost takes the guard that waits away in the moment of a start: the build gets another one, and the
// caller learns nothing of it.
func TestWaitingGuardIsLost(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(t *testing.T, c *client.Client, id string) error{
		"killed": func(t *testing.T, c *client.Client, id string) error {
			t.Helper()
			_, err := c.ContainerKill(t.Context(), id, client.ContainerKillOptions{Signal: "KILL"})
			return err
		},
		"paused": func(t *testing.T, c *client.Client, id string) error {
			t.Helper()
			_, err := c.ContainerPause(t.Context(), id, client.ContainerPauseOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts *docker.Options
			r, work := newRunner(t, func(o *docker.Options) { opts = o })
			before := waitingGuard(t, opts.Engine, opts.Name)
			if err := take(t, opts.Engine, before); err != nil {
				t.Fatal(err)
			}
			c := start(t, r, workers.Room{Folder: folder(t, work)})
			if out, exit := run(t, c, workers.Command{Script: "echo built", Dir: "/"}); exit.Code != 0 || strings.TrimSpace(out) != "built" {
				t.Errorf("exit %+v, output %q", exit, out)
			}
			list, err := opts.Engine.ContainerList(t.Context(), client.ContainerListOptions{All: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range list.Items {
				if found.ID == before {
					t.Errorf("the guard of before is left: %v, %s", found.Names, found.Status)
				}
			}
		})
	}
}

// waitingGuard is the container of a worker that waits for a build.
func waitingGuard(t *testing.T, c *client.Client, worker string) string {
	t.Helper()
	list, err := c.ContainerList(t.Context(), client.ContainerListOptions{Filters: make(client.Filters).Add("label", "dev.modfarm.worker="+worker)})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("containers of an idle worker: %+v, %v", list.Items, err)
	}
	return list.Items[0].ID
}
