package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	docker "github.com/moby/moby/client"
)

// engine is a container engine of the trials' own, with a socket, a data root and a network namespace of its own:
// it can be killed without harm to anything else on the machine.
type engine struct {
	*process
	dir    string // of its data
	run    string // of its sockets, whose paths may not be long
	space  string // its network namespace
	driver string
	client *docker.Client
}

// startEngine starts one and loads the builder image into it.
func (t *trial) startEngine() *engine {
	e := &engine{dir: filepath.Join(t.dir, "engine"), space: fmt.Sprintf("faults-%d", os.Getpid())}
	var err error
	e.run, err = os.MkdirTemp("", "faults-")
	t.must("make a folder", err)
	t.atEnd(func() error { return os.RemoveAll(e.run) })
	t.must("make a network namespace", ip(t.ctx, "netns add "+e.space))
	t.atEnd(func() error { return ip(context.Background(), "netns del "+e.space) })
	t.must("set up its loopback", ip(t.ctx, "-n "+e.space+" link set lo up"))
	info, err := t.lab.engine.Info(t.ctx, docker.InfoOptions{})
	t.must("ask the machine's engine", err)
	e.driver = info.Info.Driver // the one that works here
	t.must("make a folder", os.MkdirAll(e.dir, 0o711))
	t.must("write a configuration", os.WriteFile(filepath.Join(e.run, "daemon.json"), []byte("{}"), 0o644)) // not the machine's
	e.client, err = docker.New(docker.WithHost(e.url()))
	t.must("make a client", err)
	t.atEnd(e.client.Close)
	t.must("start an engine", e.start(t.ctx, filepath.Join(t.dir, "engine.log")))
	t.atEnd(func() error { return e.away() })
	image, err := t.image(t.ctx)
	t.must("find the builder image", err)
	t.say("loading %s into an engine of its own", image)
	t.must("load the builder image", sh(t.ctx, "sh", "-c", `docker save "$1" | docker --host "$2" load --quiet`, "load", image, e.url()))
	return e
}

func (e *engine) url() string { return "unix://" + filepath.Join(e.run, "docker.sock") }

// start starts it, or starts it again.
func (e *engine) start(ctx context.Context, log string) (err error) {
	argv := append(within(e.space), "dockerd", "--host", e.url(), "--data-root", e.dir, "--exec-root", filepath.Join(e.run, "exec"),
		"--pidfile", filepath.Join(e.run, "pid"), "--storage-driver", e.driver, "--config-file", filepath.Join(e.run, "daemon.json"))
	if e.process, err = startProcess("dockerd", log, exec.Command(argv[0], argv[1:]...)); err != nil { //nolint:noctx // ended by stop
		return err
	}
	return await(ctx, func() (bool, error) {
		if !e.running() {
			return false, fmt.Errorf("dockerd ended: %s", e.tail())
		}
		_, err := e.client.Ping(ctx, docker.PingOptions{NegotiateAPIVersion: true})
		return err == nil, nil
	})
}

// away ends it with its containers. A daemon that was killed leaves its containerd running, which the next one takes
// over and ends in order.
func (e *engine) away() error {
	var err error
	if !e.running() {
		err = e.start(context.Background(), e.log)
	}
	return errors.Join(err, e.stop(), unmountBelow(e.run), unmountBelow(e.dir))
}

// unmountBelow takes away, at and below a folder, what a daemon left mounted: the namespace of its host network, and after it was killed the
// file systems of its containers.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	var points []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1]+"/", dir+"/") {
			points = append(points, f[1])
		}
	}
	faults := []error{err}
	for _, point := range slices.Backward(points) {
		faults = append(faults, sh(context.Background(), "umount", "--lazy", point))
	}
	return errors.Join(faults...)
}
