package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
)

// Labels by which this program knows its own things again.
const (
	labelWorker  = "dev.modfarm.worker"
	labelWork    = "dev.modfarm.work" // of a network: the work folder of the worker that made it
	labelJob     = "dev.modfarm.job"
	labelAttempt = "dev.modfarm.attempt"
	labelLease   = "dev.modfarm.lease"
	labelCache   = "dev.modfarm.cache"
	labelOwner   = "dev.modfarm.owner" // the worker that made a cache; caches outlive workers
	// Of a cache, for people.
	labelModule   = "dev.modfarm.module"
	labelPlatform = "dev.modfarm.platform"
	labelScope    = "dev.modfarm.scope"
)

// Reap removes what earlier processes of this worker left behind, but for the containers that are held.
func (r *Runner) Reap(ctx context.Context, held ...workers.Held) error {
	except := map[string]bool{}
	for _, data := range held {
		for _, thing := range heldThings(data) {
			except[thing] = true
		}
	}
	return errors.Join(r.removeContainers(ctx, except), removeApt(r.envDir(), except), r.removePipes(r.usedPipes(except)))
}

// usedPipes adds the folders of the guards that wait.
func (r *Runner) usedPipes(except map[string]bool) map[string]bool {
	r.spare.mu.Lock()
	defer r.spare.mu.Unlock()
	for _, s := range r.spare.ready {
		except[s.pipes] = true
	}
	return except
}

func (r *Runner) removeContainers(ctx context.Context, except map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := r.engine.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", labelWorker+"="+r.opts.Name),
	})
	if err != nil {
		return fmt.Errorf("list the containers of the worker: %w", err)
	}
	var errs []error
	for _, c := range list.Items {
		if r.spare.is(c.ID) || except[c.ID] {
			continue
		}
		r.log().InfoContext(ctx, "removing a container that was left behind", "container", c.ID, "job", c.Labels[labelJob])
		errs = append(errs, r.remove(ctx, c.ID))
	}
	return errors.Join(errs...)
}

// remove kills and removes one container, and returns when it is gone: until then it holds its network and its
// volumes. One that is gone already is fine.
func (r *Runner) remove(ctx context.Context, id string) error {
	for {
		_, err := r.engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil, errdefs.IsNotFound(err):
			return nil
		case !errdefs.IsConflict(err): // conflict: it is being removed already, as AutoRemove does
			return fmt.Errorf("remove the container of a build: %w", err)
		}
		select {
		case <-time.After(pollRemoval):
		case <-ctx.Done():
			return fmt.Errorf("remove the container of a build: it is still there: %w", context.Cause(ctx))
		}
	}
}

// pollRemoval is how often a container on its way out is looked at.
const pollRemoval = 50 * time.Millisecond

// RemoveFolder removes a folder below the work folder. Where this process may not, because the root of a
// container owns what is inside, a container does.
func (r *Runner) RemoveFolder(ctx context.Context, dir string) error {
	if err := r.checkBelow(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	first := os.RemoveAll(dir)
	if first == nil {
		return nil
	}
	r.log().DebugContext(ctx, "removing a folder through a container", "folder", dir, "because", first)
	if err := r.inFolder(ctx, dir, "find", "/folder", "-mindepth", "1", "-delete"); err != nil {
		return errors.Join(first, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a work folder: %w", err)
	}
	return nil
}

// OpenFolder gives everything in a folder below the work folder to this process's user, who may then read it. A
// container does that, since its root may own what is inside.
func (r *Runner) OpenFolder(ctx context.Context, dir string) error {
	if err := r.checkBelow(dir); err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	owner := fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())
	return r.inFolder(ctx, dir, "find", "/folder", "-exec", "chown", "-h", owner, "{}", "+",
		"!", "-type", "l", "-exec", "chmod", "u+rX", "{}", "+")
}

// checkBelow keeps what changes folders within the work folder.
func (r *Runner) checkBelow(dir string) error {
	if rel, err := filepath.Rel(r.opts.WorkDir, dir); err != nil || rel == "." || !filepath.IsLocal(rel) {
		return fmt.Errorf("it is not below the work folder %s", r.opts.WorkDir)
	}
	return nil
}

// inFolder runs a program as root in a container that sees nothing but the folder, as /folder.
func (r *Runner) inFolder(ctx context.Context, dir string, command ...string) error {
	ref, err := r.opts.Images.Builder(ctx, r.host, "", func(string) {})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*callTimeout)
	defer cancel()
	code, said, err := r.runOnce(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: ref, Entrypoint: command, Labels: map[string]string{labelWorker: r.opts.Name}},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", CapDrop: []string{"ALL"}, CapAdd: []string{"CHOWN", "DAC_OVERRIDE", "FOWNER"},
			SecurityOpt: []string{"no-new-privileges"},
			Mounts:      []mount.Mount{{Type: mount.TypeBind, Source: dir, Target: "/folder"}},
		},
	})
	if err == nil && code != 0 {
		const most = 500
		err = fmt.Errorf("%s in a container on %s ended with %d: %s", command[0], dir, code, said[:min(len(said), most)])
	}
	return err
}
