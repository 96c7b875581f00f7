package road

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
)

const (
	// labelRoad is on each container that act starts for a road; its value is the
	// road's folder.
	labelRoad = "dev.modfarm.road"
	// actGrace is how long an interrupted act may take to clean up.
	actGrace = 30 * time.Second
	// cleanTimeout bounds cleaning up after one workflow.
	cleanTimeout = time.Minute
	// toolCache is the volume that act shares among all its runs.
	toolCache = "act-toolcache"
)

// actCommand is act in a process group of its own: the Ctrl-C of a terminal goes
// to the whole group, and an act that is interrupted twice leaves its containers.
func (r *Road) actCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.cfg.Act, append(args, "--container-options", "--label '"+labelRoad+"="+r.cfg.Dir+"'")...)
	cmd.Dir = dir
	home := filepath.Join(r.cfg.Dir, "home")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = actGrace
	return cmd
}

// cleanWorkflow takes away what an ended workflow of ex left behind. A workflow
// that failed also has its builds cancelled: nobody waits for them any more.
func (r *Road) cleanWorkflow(ctx context.Context, ex Example, failed bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var faults []error
	if failed {
		faults = append(faults, r.cancelBuilds(ctx, ex))
	}
	return errors.Join(append(faults, removeOfAct(ctx, r.cfg.Dir, workflowPrefix(ex)))...)
}

// cancelBuilds stops what the farm still builds of an example.
func (r *Road) cancelBuilds(ctx context.Context, ex Example) error {
	farm, err := r.farm.Client()
	if err != nil {
		return err
	}
	const most = 10 // one is usual
	builds, err := farm.Builds(ctx, module.ID{Namespace: Namespace, Name: ex.Name}, most)
	if err != nil {
		return fmt.Errorf("list the builds to cancel: %w", err)
	}
	var faults []error
	for _, b := range builds {
		if b.Done() {
			continue
		}
		if _, err := farm.CancelBuild(ctx, b.ID); err != nil && !errors.Is(err, module.ErrConflict) { // it ended meanwhile
			faults = append(faults, fmt.Errorf("cancel the build %s: %w", b.ID, err))
		}
	}
	return errors.Join(faults...)
}

// workflowPrefix begins the names that act gives to what it makes for the
// workflow of an example, which is called "deploy NAME".
func workflowPrefix(ex Example) string { return "act-deploy-" + ex.Name + "-" }

// removeOfAct removes the containers that carry the road's folder, and the
// volumes and networks, which carry no label, by the prefix of their names. act
// removes all of them itself when it ends well.
func removeOfAct(ctx context.Context, dir, prefix string) error {
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return fmt.Errorf("reach the container engine: %w", err)
	}
	defer engine.Close()
	return errors.Join(removeContainers(ctx, engine, dir, prefix), removeVolumes(ctx, engine, prefix), removeNetworks(ctx, engine, prefix))
}

// removeKilled removes the containers that a killed run in the same folder left.
func removeKilled(ctx context.Context, dir string) error {
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return fmt.Errorf("reach the container engine: %w", err)
	}
	defer engine.Close()
	return removeContainers(ctx, engine, dir, "act-")
}

func removeContainers(ctx context.Context, engine *docker.Client, dir, prefix string) error {
	ours := make(docker.Filters).Add("label", labelRoad+"="+dir).Add("name", prefix)
	containers, err := engine.ContainerList(ctx, docker.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		return fmt.Errorf("list the workflow's containers: %w", err)
	}
	var faults []error
	for _, c := range containers.Items {
		_, err := engine.ContainerRemove(ctx, c.ID, docker.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) { // somebody else removes it
			faults = append(faults, fmt.Errorf("remove a container of the workflow: %w", err))
		}
	}
	return errors.Join(faults...)
}

// removeVolumes leaves alone what a container still uses: it belongs to another run.
func removeVolumes(ctx context.Context, engine *docker.Client, prefix string) error {
	volumes, err := engine.VolumeList(ctx, docker.VolumeListOptions{Filters: make(docker.Filters).Add("name", prefix)})
	if err != nil {
		return fmt.Errorf("list the workflow's volumes: %w", err)
	}
	var faults []error
	for _, v := range volumes.Items {
		if !strings.HasPrefix(v.Name, prefix) {
			continue
		}
		_, err := engine.VolumeRemove(ctx, v.Name, docker.VolumeRemoveOptions{})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			faults = append(faults, fmt.Errorf("remove a volume of the workflow: %w", err))
		}
	}
	return errors.Join(faults...)
}

func removeNetworks(ctx context.Context, engine *docker.Client, prefix string) error {
	networks, err := engine.NetworkList(ctx, docker.NetworkListOptions{Filters: make(docker.Filters).Add("name", prefix)})
	if err != nil {
		return fmt.Errorf("list the workflow's networks: %w", err)
	}
	var faults []error
	for _, n := range networks.Items {
		if !strings.HasPrefix(n.Name, prefix) {
			continue
		}
		_, err := engine.NetworkRemove(ctx, n.ID, docker.NetworkRemoveOptions{})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			faults = append(faults, fmt.Errorf("remove a network of the workflow: %w", err))
		}
	}
	return errors.Join(faults...)
}

// hasToolCache says whether act has run on this engine before.
func hasToolCache(ctx context.Context) (bool, error) {
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return false, fmt.Errorf("reach the container engine: %w", err)
	}
	defer engine.Close()
	_, err = engine.VolumeInspect(ctx, toolCache, docker.VolumeInspectOptions{})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the volume %s: %w", toolCache, err)
	}
	return true, nil
}

// removeToolCache removes the volume that the first act of an engine makes.
func removeToolCache(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return fmt.Errorf("reach the container engine: %w", err)
	}
	defer engine.Close()
	return removeVolumes(ctx, engine, toolCache)
}
