package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	docker "github.com/moby/moby/client"
)

// worker is a worker process, and what is needed to start it again.
type worker struct {
	*process
	t    *trial
	name string // unique on the engine
	work string // its folder
	args []string
	env  []string
	// in runs it somewhere else, such as in a network namespace; empty for here.
	in []string
	// engine is the one that it uses.
	engine *docker.Client
}

// startWorker starts a worker and waits until it asks for work. Names are short, and unique within the trial.
func (t *trial) startWorker(name string, args ...string) *worker {
	w := t.newWorker(name, args...)
	w.start()
	return w
}

// newWorker is a worker that was not started yet.
func (t *trial) newWorker(name string, args ...string) *worker {
	w := &worker{
		t: t, name: t.name + "-" + name, work: filepath.Join(t.dir, "work", name), engine: t.engine,
		env: []string{"MODFARM_REDIS=" + t.redis.url()},
	}
	w.args = append([]string{
		"worker", "--farm", t.gateURL, "--token-file", filepath.Join(t.farm.Dir(), "worker.token"), "--name", w.name, "--work", w.work,
		"--slots", "1", "--platforms", t.target.String(), "--allow-private-repositories", "--log-level", "debug", "--drain", "0s",
	}, args...)
	if name == "first" && t.elsewhere != nil {
		t.elsewhere(w)
	}
	t.workers = append(t.workers, w)
	return w
}

// start starts it, or starts it again.
func (w *worker) start() {
	w.begin()
	w.t.must("start a worker", w.awaitWords(w.t.ctx, "worker ready"))
}

// begin is start without waiting for it to be ready.
func (w *worker) begin() {
	argv := append(append(append([]string{}, w.in...), w.t.modfarm), w.args...)
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // ended by stop, so that it can drain
	cmd.Env = append(os.Environ(), w.env...)
	var err error
	w.process, err = startProcess(w.name, filepath.Join(w.t.dir, filepath.Base(w.work)+".log"), cmd)
	w.t.must("start a worker", err)
}

// freeze stops it in mid-sentence; thaw lets it go on.
func (w *worker) freeze() { w.t.must("freeze a worker", w.signal(syscall.SIGSTOP)) }
func (w *worker) thaw()   { w.t.must("thaw a worker", w.signal(syscall.SIGCONT)) }

// away ends it, whatever state it is in, and what it left: for the end of a trial.
func (w *worker) away() error {
	var err error
	if w.process != nil && w.running() {
		err = w.stop()
	}
	return errors.Join(err, removeOf(w.t.ctx, w.engine, w.name))
}
