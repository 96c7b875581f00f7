package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source/gittest"
)

// trial is one fault being tried on a farm of its own: a control plane, a Redis and workers as processes, a git
// server, and a gate between workers and farm. A step that fails ends it, as t.Fatal ends a test, so that a case
// reads as a list of steps.
type trial struct {
	*lab
	ctx  context.Context //nolint:containedctx // of one trial, which is one call
	name string
	dir  string

	host     string // the address that the trial's servers listen on
	database string // of the farm; empty for SQLite in its folder
	farmArgs []string
	redis    *redisServer
	farm     *road.Farm
	client   *client.Client
	org      string
	repos    *valve // the git server
	gitURL   string
	gate     *valve // between workers and farm
	gateURL  string
	lose     atomic.Pointer[func(*http.Request) bool] // answers of the farm that get lost on their way

	elsewhere func(first *worker) // puts the first worker somewhere else; nil for here
	wire      *wire               // between the first worker and all else, where the case cuts it
	target    module.Platform     // that workers build
	further   []module.Platform   // of builds, that no worker builds
	disk      *smallDisk          // that the case fills
	own       *engine             // of the first worker, where the case ends it

	workers []*worker
	builds  []*build
	cleanup []func() error
	err     error // why it ended, when it ended early
}

// try runs a case on a new farm, and says how long it took until the fault was noticed. The error says what was
// lost. Nothing of the trial is left when it returns.
func (l *lab) try(ctx context.Context, f fault) (noticed time.Duration, err error) {
	t := &trial{lab: l, ctx: ctx, name: fmt.Sprintf("faults-%d-%s", os.Getpid(), f.name), host: "127.0.0.1", target: platform()}
	ended := make(chan struct{})
	go func() { //nolint:contextcheck // a goroutine of its own, which fail can end; what it opens lives until close
		defer close(ended)
		t.open(f)
		noticed = f.run(t)
		t.settle()
	}()
	<-ended
	if t.err != nil {
		t.err = errors.Join(t.err, t.keepLogs(f.name))
	}
	if cerr := t.close(); t.err == nil {
		t.err = cerr
	}
	return noticed, t.err
}

// fail ends the trial: something was lost.
func (t *trial) fail(format string, args ...any) {
	t.err = fmt.Errorf(format, args...)
	if t.ctx.Err() != nil {
		t.err = context.Cause(t.ctx)
	}
	runtime.Goexit()
}

// must ends the trial when a step failed.
func (t *trial) must(what string, err error) {
	if err != nil {
		t.fail("%s: %w", what, err)
	}
}

// until waits for what has to happen.
func (t *trial) until(what string, ask func() (bool, error)) {
	if err := await(t.ctx, ask); err != nil {
		t.fail("waiting until %s: %w%s", what, err, t.standing())
	}
}

// sleep is for faults that last for a time, never for waiting that something happens.
func (t *trial) sleep(d time.Duration) {
	select {
	case <-t.ctx.Done():
		t.fail("it was interrupted")
	case <-time.After(d):
	}
}

// reached waits until requests are held.
func (t *trial) reached(h *hold) {
	t.until("a request is held", func() (bool, error) {
		select {
		case <-h.reached:
			return true, nil
		default:
			return false, nil
		}
	})
}

// atEnd has something undone with the trial, the last first.
func (t *trial) atEnd(f func() error) { t.cleanup = append(t.cleanup, f) }

func (t *trial) close() error {
	var faults []error
	for _, w := range t.workers {
		faults = append(faults, w.away())
	}
	for _, undo := range slices.Backward(t.cleanup) {
		faults = append(faults, undo())
	}
	return errors.Join(faults...)
}

// open starts everything but workers.
func (t *trial) open(f fault) {
	t.dir = filepath.Join(t.lab.dir, f.name)
	for _, dir := range []string{"git", "work", "redis"} {
		t.must("make a folder", os.MkdirAll(filepath.Join(t.dir, dir), 0o755))
	}
	t.atEnd(func() error { return os.RemoveAll(t.dir) })
	if f.before != nil {
		f.before(t)
	}
	var err error
	t.redis, err = startRedis(t.ctx, t.host, filepath.Join(t.dir, "redis"))
	t.must("start Redis", err)
	t.atEnd(func() error { return t.redis.kill() })
	handler, err := gittest.Handler(filepath.Join(t.dir, "git"))
	t.must("make the git server", err)
	t.repos = &valve{next: handler}
	t.gitURL = t.serve(t.repos)
	t.startFarm()
	t.atEnd(func() error { return t.farm.Kill() })
	handler, err = forward(t.farm.URL(), t.loses)
	t.must("make the gate", err)
	t.gate = &valve{next: handler}
	t.gateURL = t.serve(t.gate)
}

// serve answers requests until the trial ends, and returns the server's URL.
func (t *trial) serve(handler http.Handler) string {
	listener, err := (&net.ListenConfig{}).Listen(t.ctx, "tcp", t.host+":0")
	t.must("listen", err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() { _ = server.Serve(listener) }()
	t.atEnd(server.Close)
	return "http://" + listener.Addr().String()
}

func (t *trial) loses(r *http.Request) bool {
	lose := t.lose.Load()
	return lose != nil && (*lose)(r)
}

// startFarm starts the control plane, or starts it again with the data it had.
func (t *trial) startFarm() {
	args := []string{"--allow-private-repositories", "--log-level", "debug"}
	args = append(args, t.farmArgs...)
	if t.database != "" {
		args = append(args, "--database", t.database)
	}
	var err error
	t.farm, err = road.StartServe(t.ctx, road.Config{Dir: t.dir, Modfarm: t.modfarm, UpArgs: args}, t.redis.url())
	t.must("start the farm", err)
	t.client, err = t.farm.Client()
	t.must("reach the farm", err)
	if t.org == "" {
		orgs, err := t.client.Login(t.ctx)
		t.must("log in", err)
		t.org = orgs[0].ID
	}
}

// killFarm ends the control plane as the power switch would.
func (t *trial) killFarm() { t.must("kill the farm", t.farm.Kill()) }

// standing says where all builds stand, for an error.
func (t *trial) standing() string {
	var text strings.Builder
	for _, b := range t.builds {
		got, err := t.client.Build(t.ctx, b.id)
		if err != nil {
			return "\n(" + err.Error() + ")"
		}
		if j := b.of(got); !j.Terminal {
			fmt.Fprintf(&text, "\n%s is %s on %q, attempt %d, step %q: %s", b.module, j.State, j.Worker, j.Attempt, j.Step, j.Reason)
		}
	}
	return text.String()
}

// platform is what all trials build for.
func platform() module.Platform { return module.HostPlatform() }
