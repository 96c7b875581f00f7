package workers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

// hostRunner runs commands with this machine's bash, in the job's folder.
type hostRunner struct {
	mu      sync.Mutex
	boxes   int
	reaps   int
	broken  bool          // the machine cannot build
	failing int           // so many starts fail
	staying int           // so many removals fail
	asked   chan struct{} // gets a token when that was said
	waiting []chan struct{}
}

func newHostRunner() *hostRunner { return &hostRunner{asked: make(chan struct{}, 1)} }

func (r *hostRunner) Ready(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		select {
		case r.asked <- struct{}{}:
		default:
		}
		return fmt.Errorf("%w: the engine does not answer", module.ErrUnavailable)
	}
	return nil
}

func (r *hostRunner) failStarts(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = n
}

func (r *hostRunner) failRemovals(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.staying = n
}

func (r *hostRunner) breaks(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = yes
}

func (r *hostRunner) Start(_ context.Context, room workers.Room) (workers.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing > 0 {
		r.failing--
		return nil, fmt.Errorf("%w: the engine is on its way out", module.ErrUnavailable)
	}
	r.boxes++
	return &hostBox{r: r, room: room}, nil
}

func (r *hostRunner) Reap(context.Context, ...workers.Held) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reaps++
	return nil
}

func (r *hostRunner) RemoveFolder(_ context.Context, dir string) error { return os.RemoveAll(dir) }

func (r *hostRunner) OpenFolder(context.Context, string) error { return nil } // one user does everything

func (r *hostRunner) open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.boxes
}

func (r *hostRunner) reaped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reaps
}

// idle returns a channel that yields when the last container is gone.
func (r *hostRunner) idle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan struct{}, 1)
	if r.boxes == 0 {
		c <- struct{}{}
		return c
	}
	r.waiting = append(r.waiting, c)
	return c
}

type hostBox struct {
	r      *hostRunner
	room   workers.Room
	closed bool
}

func (b *hostBox) Run(ctx context.Context, c workers.Command) (workers.Exit, error) {
	if strings.Contains(c.Script, "/usr/local/sbin") || strings.Contains(c.Script, workers.CachePath+"/") { // of containers only
		return workers.Exit{}, nil
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", c.Script)
	cmd.Dir = strings.Replace(c.Dir, workers.WorkspacePath, b.room.Folder, 1)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.room.Folder}, c.Env...)
	cmd.Stdout, cmd.Stderr = c.Output, c.Output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if ctx.Err() != nil {
		return workers.Exit{}, context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return workers.Exit{Code: exit.ExitCode()}, nil
	}
	return workers.Exit{}, err
}

func (b *hostBox) Image() string { return "this machine" }

func (b *hostBox) Kill(context.Context) error { return nil } // a command is ended with all that it started

func (b *hostBox) Close(context.Context) error {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	if b.closed {
		return nil
	}
	if b.r.staying > 0 {
		b.r.staying--
		return errors.New("the engine does not answer")
	}
	b.closed = true
	if b.r.boxes--; b.r.boxes == 0 {
		for _, c := range b.r.waiting {
			c <- struct{}{}
		}
		b.r.waiting = nil
	}
	return nil
}
