package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// wire joins a network namespace to this machine by a pair of virtual interfaces, which can be cut and healed: what
// is under way then is lost without a word.
type wire struct {
	space string // of the namespace
	here  string // the interface on this side
	addr  string // its address
}

// layWire makes one. Names carry the process, so that several runs do not meet; the addresses are those that are set
// aside for tests of networks.
func layWire(ctx context.Context) (*wire, error) {
	pid := os.Getpid()
	w := &wire{
		space: fmt.Sprintf("faults-%d", pid), here: fmt.Sprintf("flt%da", pid%1e6), addr: fmt.Sprintf("198.18.%d.1", pid%256),
	}
	there := fmt.Sprintf("flt%db", pid%1e6)
	for _, line := range []string{
		"netns add " + w.space,
		"-n " + w.space + " link set lo up",
		"link add " + w.here + " type veth peer name " + there + " netns " + w.space,
		"addr add " + w.addr + "/30 dev " + w.here,
		"link set " + w.here + " up",
		"-n " + w.space + " addr add " + strings.TrimSuffix(w.addr, "1") + "2/30 dev " + there,
		"-n " + w.space + " link set " + there + " up",
	} {
		if err := ip(ctx, line); err != nil {
			return w, errors.Join(err, w.remove()) //nolint:contextcheck // also after ctx ended
		}
	}
	return w, nil
}

func (w *wire) cut(ctx context.Context) error  { return ip(ctx, "link set "+w.here+" down") }
func (w *wire) heal(ctx context.Context) error { return ip(ctx, "link set "+w.here+" up") }

// remove takes the interfaces and the namespace away. A namespace by itself would let go of them some time later.
func (w *wire) remove() error {
	ctx := context.Background()
	return errors.Join(ip(ctx, "link del "+w.here), ip(ctx, "netns del "+w.space))
}

// within is what a command line begins with that runs in the namespace, and shares all else with this machine.
func within(space string) []string {
	return []string{"nsenter", "--net=" + filepath.Join("/run/netns", space), "--"}
}

// ip runs the program of that name.
func ip(ctx context.Context, line string) error { return sh(ctx, "ip", strings.Fields(line)...) }

// sh runs a program of the system, and gives what it says when it fails. What it started ends with it.
func sh(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
