package docker_test

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
)

// job lists the containers of a job: its own and the guard's.
func job(t *testing.T, name string) []string {
	t.Helper()
	list, err := engine(t).ContainerList(context.WithoutCancel(t.Context()), client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("name", "modfarm-"+name+"-"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range list.Items {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestWithoutItsGuardABuildHasNoNetwork(t *testing.T) {
	t.Parallel()
	r, work := newRunner(t)
	c := start(t, r, workers.Room{Folder: folder(t, work)})
	name := "job-" + strings.ToLower(t.Name())
	ids := job(t, name)
	if len(ids) != 2 {
		t.Fatalf("containers %v, want a build and its guard", ids)
	}
	e := engine(t)
	for _, id := range ids {
		got, err := e.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(got.Container.Name, "-guard") {
			if out, err := exec.Command("docker", "kill", id).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		} else if got.Container.HostConfig.Privileged || len(got.Container.Mounts) > 3 {
			t.Errorf("unexpected settings of the build: %+v", got.Container.HostConfig)
		}
	}
	_, err := c.Run(t.Context(), workers.Command{Script: "true", Dir: "/", Network: module.NetworkFull, Output: io.Discard})
	if !errors.Is(err, module.ErrUnavailable) || !strings.Contains(err.Error(), "guard") {
		t.Errorf("error %v, want one that names the guard", err)
	}
	for _, id := range ids {
		eventually(t, "without its guard the build has no network", func() bool {
			out, _ := exec.Command("docker", "exec", id, "cat", "/proc/net/dev").CombinedOutput()
			return !strings.Contains(string(out), "eth0")
		})
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left := job(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNoGuardNoBuilds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for program, says := range map[string]string{
		"/bin/true":     "needs libraries of this machine",
		"/etc/hostname": "is no Linux program",
		dir + "/none":   "no such file",
	} {
		_, err := docker.New(t.Context(), docker.Options{
			Engine: engine(t), Name: "test-" + strings.ToLower(t.Name()), WorkDir: dir, Images: oneImage(hostTools), Guard: program,
		})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want %q", program, err, says)
		}
	}
	out, err := exec.Command("docker", "network", "ls", "-q", "--filter", "label=dev.modfarm.worker=test-"+strings.ToLower(t.Name())).Output()
	if err != nil || len(out) > 0 {
		t.Errorf("networks left behind: %s, %v", out, err)
	}
}
