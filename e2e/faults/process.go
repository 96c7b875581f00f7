package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is a program that a trial started. What it says goes to a file.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	from  int64 // where in log it begins
	ended chan struct{}
	err   error // how it ended, once ended is closed
}

// patience bounds what should take moments, on a machine that others use, too.
const patience = 2 * time.Minute

// startProcess starts a program in a group of its own, so that Ctrl-C reaches the trial alone, which then stops
// it in order. The program ends with this one in any case.
func startProcess(name, log string, cmd *exec.Cmd) (*process, error) {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	p := &process{name: name, cmd: cmd, log: log, from: info.Size(), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// kill ends it as the power switch would.
func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.ended
	return err
}

// stop asks it to end, and waits.
func (p *process) stop() error {
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("%s did not end within %s", p.name, patience), p.kill())
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w:\n%s", p.name, p.err, p.tail())
	}
	return nil
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// said is what it has said since it started.
func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[min(p.from, int64(len(text))):])
}

func (p *process) tail() string {
	const most = 3000
	text := p.said()
	return text[max(0, len(text)-most):]
}

// awaitWords waits until it has said some words.
func (p *process) awaitWords(ctx context.Context, words string) error {
	err := await(ctx, func() (bool, error) {
		if strings.Contains(p.said(), words) {
			return true, nil
		}
		if !p.running() {
			return false, fmt.Errorf("%s ended (%w)", p.name, p.err)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%s did not say %q: %w\n%s", p.name, words, err, p.tail())
	}
	return nil
}

// await asks again and again until the answer is yes.
func await(ctx context.Context, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// glance is how often a trial looks at what it waits for, and so how exactly it measures.
const glance = 50 * time.Millisecond

// freePort is one that a program started next can listen on.
func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
