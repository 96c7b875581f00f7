package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

var _ workers.Trials = (*Runner)(nil)

// trialOutput is how much is kept of what a tried program writes.
const trialOutput = 64 << 10

// notFound is the exit status by which shells tell of a program that could not be started.
const notFound = 127

// Try starts a program in the run image of its platform: without a network, and with nothing to write to but /tmp.
func (r *Runner) Try(ctx context.Context, t workers.Trial) (workers.TrialEnd, error) {
	ref, err := r.opts.Images.Run(ctx, t.Platform, t.Distro)
	if err != nil {
		return workers.TrialEnd{}, err
	}
	end, err := r.try(ctx, ref, t)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: try the archive: %w", module.ErrUnavailable, err)
	}
	return end, err
}

func (r *Runner) try(ctx context.Context, ref string, t workers.Trial) (end workers.TrialEnd, err error) {
	made, err := r.makeContainer(ctx, r.trialContainer(ref, t))
	if err != nil {
		return end, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		if rerr := r.remove(ctx, made.ID); err == nil {
			err = rerr
		}
	}()
	conn, err := r.engine.ContainerAttach(ctx, made.ID, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return end, err
	}
	out := &firstBytes{most: trialOutput}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = stdcopy.StdCopy(out, out, conn.Reader) // ends with the container
	}()
	defer func() {
		conn.Close()
		<-copied
		end.Output = out.String()
	}()
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	wait := r.engine.ContainerWait(waiting, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := r.engine.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		if refused, ok := startRefused(err); ok {
			_, _ = out.Write([]byte(refused)) // never fails
			return workers.TrialEnd{Code: notFound}, nil
		}
		return end, err
	}
	return r.awaitTrial(ctx, t, wait, copied)
}

// awaitTrial waits for the end of a program, or until it lived long enough.
func (r *Runner) awaitTrial(ctx context.Context, t workers.Trial, wait client.ContainerWaitResult, copied <-chan struct{}) (end workers.TrialEnd, err error) {
	var alive <-chan time.Time
	if t.Alive > 0 {
		timer := time.NewTimer(t.Alive)
		defer timer.Stop()
		alive = timer.C
	}
	select {
	case <-ctx.Done():
		return end, context.Cause(ctx)
	case err := <-wait.Error:
		return end, err
	case <-alive:
		return workers.TrialEnd{Alive: true}, nil
	case res := <-wait.Result:
		select {
		case <-copied: // its last words
		case <-time.After(lastOutput):
		}
		return workers.TrialEnd{Code: int(res.StatusCode)}, nil
	}
}

// trialContainer shuts a tried program in. Nothing of it but the arguments of the process comes from a module.
func (r *Runner) trialContainer(ref string, t workers.Trial) client.ContainerCreateOptions {
	limits := r.limits
	return client.ContainerCreateOptions{
		Name: containerName(workers.Room{Job: t.Job, Platform: t.Platform}) + "-smoke",
		Config: &container.Config{
			Image: ref, Entrypoint: t.Argv, User: "0:0", StopTimeout: limits.stopSeconds(), WorkingDir: workers.ArchivePath, AttachStdout: true, AttachStderr: true,
			Env:    []string{"HOME=/tmp", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Labels: map[string]string{labelWorker: r.opts.Name, labelJob: t.Job},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", CapDrop: []string{"ALL"}, CapAdd: []string{"DAC_OVERRIDE"}, SecurityOpt: []string{"no-new-privileges"},
			ReadonlyRootfs: true, Tmpfs: map[string]string{"/tmp": "exec,mode=1777"}, LogConfig: container.LogConfig{Type: "none"},
			Mounts: []mount.Mount{{Type: mount.TypeBind, Source: t.Folder, Target: workers.ArchivePath, ReadOnly: true}},
			Resources: container.Resources{
				Memory: limits.Memory, MemorySwap: limits.Memory, NanoCPUs: int64(limits.CPUs * 1e9), PidsLimit: &limits.Processes, Ulimits: limits.ulimits(),
			},
		},
		Platform: ociPlatform(t.Platform),
	}
}

// startRefused gives the kernel's words when it, and not the engine, refused to start a program.
func startRefused(err error) (words string, ok bool) {
	text := err.Error()
	at := strings.Index(text, "exec")
	for _, said := range []string{"exec format error", "no such file or directory", "permission denied"} {
		if at >= 0 && strings.Contains(strings.ToLower(text[at:]), said) {
			return text[at:], true
		}
	}
	return "", false
}
