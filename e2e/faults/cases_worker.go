package main

import (
	"strings"
	"time"

	docker "github.com/moby/moby/client"

	"github.com/modfarm/modfarm/client"
)

// deadWorker is the longest until the farm misses a worker: a lease of 15 s, a sweep every 2 s, and some air.
const deadWorker = 20 * time.Second

// restarted is the longest until a worker that was killed and started again goes on: it proves its platforms first.
const restarted = 40 * time.Second

// noise is an archive that takes more than one write to send; zeros take seconds to pack and to inspect.
const (
	noise = 8 << 20
	zeros = 3 << 30
)

// phase is a moment in the life of a job that a trial can hold it at.
type phase struct {
	name string
	does string // in a sentence: "while …"
	// shape is of the module that gets there.
	shape shape
	// step is what the farm shows then.
	step string
	// hold stops the job there where its script does not; may be nil. It begins before a worker is there.
	hold func(t *trial) *hold
}

// phases are those of a job with a worker, in their order.
func phases() []phase {
	return []phase{
		{name: "fetch", does: "while the source is fetched", step: stepFetch, hold: func(t *trial) *hold { return t.repos.hold(0, isFetch) }},
		{name: "setup", does: "while the setup script runs", step: stepSetup, shape: shape{waits: stepSetup}},
		{name: "build", does: "while the build script runs", step: stepBuild, shape: shape{waits: stepBuild}},
		{name: "inspect", does: "while the worker inspects the archive", step: stepInspect, shape: shape{zeros: zeros}},
		{
			name: "upload", does: "in the middle of the upload", step: stepUpload, shape: shape{bulk: noise},
			hold: func(t *trial) *hold { return t.gate.hold(1<<20, isUpload) },
		},
		{
			name: "finish", does: "between upload and finish", step: stepUpload, shape: shape{bulk: noise},
			hold: func(t *trial) *hold { return t.gate.hold(0, isFinish) },
		},
	}
}

// reach has a worker bring a new build to a phase, and holds it there.
func (t *trial) reach(p phase) (*worker, *build) {
	b := t.newModule("module", p.shape)
	b.submit()
	b.awaitState(client.JobQueued) // the farm has read the repository, too: what is held now is the worker's
	var h *hold
	if p.hold != nil {
		h = p.hold(t)
		b.holds = append(b.holds, h)
	}
	w := t.startWorker("first")
	if h != nil {
		t.reached(h)
	}
	b.awaitStep(p.step)
	return w, b
}

func workerFaults() []fault {
	var list []fault
	for _, p := range phases() {
		list = append(list, fault{
			name: "worker-killed-" + p.name, does: "kill -9 of the worker " + p.does,
			then: "another worker takes the job over, attempt 2", within: deadWorker, short: p.name == "build" || p.name == "finish",
			run: func(t *trial) time.Duration { return t.killWorkerAt(p) },
		})
	}
	return append(list,
		fault{
			name: "worker-restarted-setup", does: "kill -9 of the only worker while the setup script runs, started again at once",
			then: takenUp, within: restarted,
			run: func(t *trial) time.Duration { return t.restartWorkerAt(phases()[1], 1) },
		},
		fault{
			name: "worker-restarted-build", does: "the same while the build script runs",
			then: takenUp, within: restarted, short: true,
			run: func(t *trial) time.Duration { return t.restartWorkerAt(phases()[2], 1) },
		},
		fault{
			name: "worker-restarted-twice", does: "the same, twice",
			then: takenUp, within: restarted,
			run: func(t *trial) time.Duration { return t.restartWorkerAt(phases()[2], 2) },
		},
		fault{
			name: "worker-restarted-gone", does: "the same, and the container is removed before the worker is started again",
			then: "it builds again under the same lease, attempt 1, and the log says why", within: restarted,
			run: restartWithoutContainer,
		},
		fault{
			name: "worker-restarted-finish", does: "the same between upload and finish",
			then: "it delivers what was built, attempt 1", within: restarted,
			run: restartAfterScripts,
		},
		fault{
			name: "worker-frozen", does: "SIGSTOP of the only worker for a minute while the build script runs",
			then: "the job is queued; the worker takes it up again where it was, attempt 1", within: deadWorker,
			run: func(t *trial) time.Duration { return t.freezeWorker(false) },
		},
		fault{
			name: "worker-frozen-replaced", does: "the same, with another worker there",
			then: "the other one builds it, attempt 2; the first one stops when it wakes", within: deadWorker,
			run: func(t *trial) time.Duration { return t.freezeWorker(true) },
		},
		fault{
			name: "worker-name-twice", does: "a second worker with the name of a running one is started on the same engine",
			then: "it does not start, and says why; the first one builds on, attempt 1",
			run:  sameName,
		},
	)
}

// killWorkerAt kills the worker of a job in a phase. Another worker takes over.
func (t *trial) killWorkerAt(p phase) time.Duration {
	first, b := t.reach(p)
	b.attempts = 2
	t.startWorker("second")
	t.must("kill a worker", first.kill())
	began := time.Now()
	if job := b.now(); job.Step != p.step {
		t.fail("the worker was killed in the step %q, too late for %q", job.Step, p.step)
	}
	b.awaitLost(first)
	noticed := time.Since(began)
	b.letGo()
	return noticed
}

// takenUp is what comes of a script whose worker was started again.
const takenUp = "the script runs on in the same container; the worker takes it up, attempt 1"

// restartWorkerAt kills the worker of a job whose script runs, so many times within that script.
func (t *trial) restartWorkerAt(p phase, times int) time.Duration {
	w, b := t.reach(p)
	b.attempts = 1
	box := t.container(b)
	var noticed time.Duration
	for range times {
		t.must("kill a worker", w.kill())
		began := time.Now()
		seen := len(b.log.read())
		w.begin()
		t.until("the log goes on", func() (bool, error) { return len(b.log.read()) > seen, nil })
		noticed = max(noticed, time.Since(began))
		if again := t.container(b); again != box {
			t.fail("the build ran in the container %s, and runs in %s", box, again)
		}
	}
	b.letGo()
	b.awaitState(client.JobPublished)
	if n := strings.Count(b.log.read(), "line 1\n"); n != 1 {
		t.fail("the script was begun %d times", n)
	}
	return noticed
}

// restartWithoutContainer takes away what the worker would take up.
func restartWithoutContainer(t *trial) time.Duration {
	w, b := t.reach(phases()[2])
	b.attempts = 1
	t.must("kill a worker", w.kill())
	began := time.Now()
	_, err := t.engine.ContainerRemove(t.ctx, t.container(b), docker.ContainerRemoveOptions{Force: true})
	t.must("remove a container", err)
	w.begin()
	t.until("the log says why", func() (bool, error) { return b.log.has("could not take up the script that ran"), nil })
	noticed := time.Since(began)
	b.awaitStep(stepBuild)
	b.letGo()
	return noticed
}

// container is the one in which the scripts of a build run.
func (t *trial) container(b *build) (id string) {
	list, err := t.engine.ContainerList(t.ctx, docker.ContainerListOptions{Filters: make(docker.Filters).Add("label", labelJob+"="+b.job)})
	t.must("list containers", err)
	for _, c := range list.Items {
		if strings.HasPrefix(c.Names[0], "/modfarm-") && !strings.HasSuffix(c.Names[0], "-guard") {
			return c.ID
		}
	}
	t.fail("no container of %s runs", b.module)
	return ""
}

// restartAfterScripts kills the only worker of a job when all that is missing is the word that it is done.
func restartAfterScripts(t *trial) time.Duration {
	w, b := t.reach(phases()[5])
	b.attempts = 1
	t.must("kill a worker", w.kill())
	began := time.Now()
	b.letGo()
	w.begin()
	b.awaitState(client.JobPublished)
	return time.Since(began)
}

// freezeWorker stops the worker of a job for a minute.
func (t *trial) freezeWorker(replaced bool) time.Duration {
	first, b := t.reach(phases()[2])
	b.attempts = 1
	if replaced {
		b.attempts = 2
		t.startWorker("second")
	}
	first.freeze()
	began := time.Now()
	b.awaitLost(first)
	noticed := time.Since(began)
	if replaced {
		b.letGo()
		b.awaitState(client.JobPublished)
	}
	t.sleep(time.Minute - time.Since(began))
	first.thaw()
	if replaced {
		t.must("thaw a worker", first.awaitWords(t.ctx, "the lease was lost"))
		return noticed
	}
	t.goesOn(b)
	return noticed
}

// sameName starts a second worker with the name of a first one.
func sameName(t *trial) time.Duration {
	first, b := t.reach(phases()[2])
	b.attempts = 1
	second := t.newWorker("first-too")
	second.args = append(second.args, "--name", first.name)
	second.name = first.name
	began := time.Now()
	second.begin()
	t.until("the second worker ends", func() (bool, error) { return !second.running(), nil })
	noticed := time.Since(began)
	t.must("the second worker says why", second.awaitWords(t.ctx, "another"))
	t.workers = t.workers[:1]
	t.goesOn(b)
	return noticed
}
