package docker_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// containerOf finds the container of a job that is not its guard.
func containerOf(t *testing.T, c *client.Client, job string) string {
	t.Helper()
	list, err := c.ContainerList(t.Context(), client.ContainerListOptions{Filters: make(client.Filters).Add("label", "dev.modfarm.job="+job)})
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range list.Items {
		if !strings.HasSuffix(found.Names[0], "-guard") {
			return found.ID
		}
	}
	t.Fatalf("no container of the job %s among %d", job, len(list.Items))
	return ""
}

// TestVanishedContainerIsTheMachinesFault takes the container away under a running command, in each way that an
// operator does: the attempt is repeated, and nobody blames the author.
func TestVanishedContainerIsTheMachinesFault(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(t *testing.T, c *client.Client, id string) error{
		"killed": func(t *testing.T, c *client.Client, id string) error {
			t.Helper()
			_, err := c.ContainerKill(t.Context(), id, client.ContainerKillOptions{Signal: "KILL"})
			return err
		},
		"stopped": func(t *testing.T, c *client.Client, id string) error {
			t.Helper()
			_, err := c.ContainerStop(t.Context(), id, client.ContainerStopOptions{})
			return err
		},
		"removed": func(t *testing.T, c *client.Client, id string) error {
			t.Helper()
			_, err := c.ContainerRemove(t.Context(), id, client.ContainerRemoveOptions{Force: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var api *client.Client
			r, work := newRunner(t, func(o *docker.Options) { api = o.Engine })
			c := start(t, r, workers.Room{Folder: folder(t, work)})
			id := containerOf(t, api, "job-"+strings.ToLower(t.Name()))
			taken := make(chan error, 1)
			exit, err := c.Run(t.Context(), workers.Command{
				Script: "echo started; sleep 300", Dir: "/", Output: onWrite(func() { taken <- take(t, api, id) }),
			})
			if err := <-taken; err != nil {
				t.Fatal(err)
			}
			if !errors.Is(err, module.ErrUnavailable) {
				t.Errorf("exit %+v, error %v; want a fault of the machine", exit, err)
			}
		})
	}
}

// TestCommandEndsItsContainer does what an operator does, from inside: that is the author's.
func TestCommandEndsItsContainer(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	if _, exit := run(t, c, workers.Command{Script: "kill -9 -1; sleep 60"}); exit.Code == 0 || !exit.EndedContainer {
		t.Errorf("exit %+v, want the end of the container", exit)
	}
}

// TestKilledCommandIsTheAuthors ends with the status of SIGKILL while the container goes on.
func TestKilledCommandIsTheAuthors(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	if _, exit := run(t, c, workers.Command{Script: "kill -9 $$"}); exit.Code != 137 || exit.OutOfMemory {
		t.Errorf("exit %+v, want 137", exit)
	}
}

// TestNetworkIsMadeAgain removes the worker's network between two builds.
func TestNetworkIsMadeAgain(t *testing.T) {
	t.Parallel()
	var api *client.Client
	var name string
	r, work := newRunner(t, func(o *docker.Options) { api, name = o.Engine, "modfarm-"+o.Name })
	got, err := api.NetworkInspect(t.Context(), name, client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for id := range got.Network.Containers { // the guard that waits for the next build
		if _, err := api.NetworkDisconnect(t.Context(), name, client.NetworkDisconnectOptions{Container: id, Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.NetworkRemove(t.Context(), name, client.NetworkRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	var out bytes.Buffer
	exit, err := c.Run(t.Context(), workers.Command{
		Script: `mapfile -t routes </proc/net/route; echo ${#routes[@]}`, Dir: "/", Network: module.NetworkFull, Output: &out,
	})
	if err != nil || exit.Code != 0 || strings.TrimSpace(out.String()) == "1" {
		t.Errorf("exit %+v, error %v, lines of routes: %s", exit, err, out.String())
	}
	if _, err := api.NetworkInspect(t.Context(), name, client.NetworkInspectOptions{}); err != nil {
		t.Errorf("the network after a start: %v", err)
	}
}
