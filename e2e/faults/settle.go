package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/client"
)

// settle waits for the end of all builds of a trial and holds them against what the farm promises.
func (t *trial) settle() {
	for _, b := range t.builds {
		b.settle()
	}
	for _, w := range t.workers { // as a service manager would
		if w.process != nil && !w.running() {
			w.start()
		}
	}
	t.until("workers have cleaned up", func() (bool, error) {
		left, err := t.left()
		if err == nil && len(left) > 0 {
			return false, nil
		}
		return true, err
	})
	for _, b := range t.builds {
		b.unchanged()
	}
	for _, w := range t.workers {
		t.must("stop a worker", w.stop())
		left, err := t.leftOf(w)
		t.must("look for what is left", err)
		if len(left) > 0 {
			t.fail("left behind by a worker that was stopped: %s", strings.Join(left, ", "))
		}
	}
}

// settle waits for its end: one release, or one explained failure.
func (b *build) settle() {
	job := b.await("the build has ended", func(j client.Job) bool { return j.Terminal })
	switch {
	case b.cancelled:
		if job.State != client.JobCancelled {
			b.t.fail("%s ended %s (%s), and should have been cancelled", b.module, job.State, job.Reason)
		}
	case b.fails != "":
		if job.State != client.JobFailed || !strings.Contains(job.Reason, b.fails) {
			b.t.fail("%s ended %s (%s), and should have failed with %q", b.module, job.State, job.Reason, b.fails)
		}
	case job.State != client.JobPublished:
		b.t.fail("%s ended %s: %s", b.module, job.State, job.Reason)
	}
	if b.attempts > 0 && job.Attempt != b.attempts {
		b.t.fail("%s took %d attempts, and should have taken %d (%s)", b.module, job.Attempt, b.attempts, b.log.read())
	}
	if err := b.log.whole(b.t.ctx, b.t.client, b.job); err != nil {
		b.t.fail("%s: %w", b.module, err)
	}
	if job.State == client.JobPublished {
		b.digest = job.Release.SHA256
	}
	b.unchanged()
}

// unchanged looks at what is published of it: its version once, for one platform, with the digest that it had, or
// nothing. The same request again is the same build.
func (b *build) unchanged() {
	t := b.t
	info, err := t.client.Module(t.ctx, b.req.Module)
	t.must("look at a module", err)
	releases := 0
	for _, v := range info.Versions {
		if v.Version == b.req.Version {
			releases += len(v.Platforms)
		}
	}
	switch {
	case b.digest == "" && releases > 0:
		t.fail("%s failed, and is published", b.module)
	case b.digest == "":
		return
	case releases != 1:
		t.fail("%s %s has %d releases", b.module, b.req.Version, releases)
	}
	pkg, err := t.client.Package(t.ctx, b.req.Module, b.req.Version, t.target)
	t.must("look at a release", err)
	if pkg.SHA256 != b.digest {
		t.fail("the digest of %s was %s and is %s", b.module, b.digest, pkg.SHA256)
	}
	var archive bytes.Buffer
	t.must("download a release", t.client.Download(t.ctx, &archive, pkg, nil)) // it compares the digest
	again, err := t.client.StartBuild(t.ctx, b.req)
	t.must("ask for a build again", err)
	if again != b.id {
		t.fail("%s was built as %s, and asking again made the build %s", b.module, b.id, again)
	}
}

// left lists what is left of jobs while workers go on: nothing but guards that wait for the next build.
func (t *trial) left() ([]string, error) {
	var left []string
	for _, w := range t.workers {
		all, err := t.leftOf(w)
		if err != nil {
			return nil, err
		}
		for _, name := range all {
			if !strings.Contains(name, "-spare-") && !strings.HasPrefix(name, "network ") {
				left = append(left, name)
			}
		}
	}
	return left, nil
}

// leftOf lists what there is of a worker in the engine, without the caches, and in its folder.
func (t *trial) leftOf(w *worker) ([]string, error) {
	left, err := inEngine(t.ctx, w.engine, w.name)
	if err != nil {
		return nil, err
	}
	jobs, err := os.ReadDir(filepath.Join(w.work, "jobs", w.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, job := range jobs {
		left = append(left, "workspace "+job.Name())
	}
	return left, nil
}

// Labels of what workers make in an engine.
const (
	labelWorker = "dev.modfarm.worker"
	labelJob    = "dev.modfarm.job"
	labelOwner  = "dev.modfarm.owner" // of caches
)

// inEngine lists a worker's containers, networks and volumes. Caches have a label of their own.
func inEngine(ctx context.Context, engine *docker.Client, worker string) ([]string, error) {
	of := make(docker.Filters).Add("label", labelWorker+"="+worker)
	containers, err := engine.ContainerList(ctx, docker.ContainerListOptions{All: true, Filters: of})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	networks, err := engine.NetworkList(ctx, docker.NetworkListOptions{Filters: of})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	volumes, err := engine.VolumeList(ctx, docker.VolumeListOptions{Filters: of})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var left []string
	for _, c := range containers.Items {
		left = append(left, "container "+strings.Join(c.Names, ","))
	}
	for _, n := range networks.Items {
		left = append(left, "network "+n.Name)
	}
	for _, v := range volumes.Items {
		left = append(left, "volume "+v.Name)
	}
	return left, nil
}

// removeOf removes everything of a worker from an engine, its caches too, also after the trial was interrupted.
func removeOf(ctx context.Context, engine *docker.Client, worker string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	of := make(docker.Filters).Add("label", labelWorker+"="+worker)
	var faults []error
	containers, err := engine.ContainerList(ctx, docker.ContainerListOptions{All: true, Filters: of})
	faults = append(faults, err)
	for _, c := range containers.Items {
		_, err := engine.ContainerRemove(ctx, c.ID, docker.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		faults = append(faults, err)
	}
	networks, err := engine.NetworkList(ctx, docker.NetworkListOptions{Filters: of})
	faults = append(faults, err)
	for _, n := range networks.Items {
		_, err := engine.NetworkRemove(ctx, n.ID, docker.NetworkRemoveOptions{})
		faults = append(faults, err)
	}
	volumes, err := engine.VolumeList(ctx, docker.VolumeListOptions{
		Filters: make(docker.Filters).Add("label", labelOwner+"="+worker),
	})
	faults = append(faults, err)
	for _, v := range volumes.Items {
		_, err := engine.VolumeRemove(ctx, v.Name, docker.VolumeRemoveOptions{})
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
