package main

import (
	"time"

	"github.com/modfarm/modfarm/client"
)

// deadWorker is the longest until the farm misses a worker: a lease of 15 s, a sweep every 2 s, and some air.
const deadWorker = 20 * time.Second

func workerFaults() []fault {
	return []fault{
		{
			name: "worker-killed-build", does: "kill -9 of the worker while the build script runs",
			then: "another worker builds it, attempt 2", within: deadWorker, short: true,
			run: func(t *trial) time.Duration {
				return t.killWorkerAt(stepBuild, shape{waits: stepBuild})
			},
		},
	}
}

// killWorkerAt kills the worker of a job at a step. Another worker takes over.
func (t *trial) killWorkerAt(step string, s shape) time.Duration {
	first := t.startWorker("first")
	b := t.submit("module", s)
	b.attempts = 2
	b.awaitStep(step)
	return t.loseWorker(first, b)
}

// loseWorker kills a worker and has another one take over its job.
func (t *trial) loseWorker(w *worker, b *build) time.Duration {
	t.startWorker("second")
	t.must("kill a worker", w.kill())
	began := time.Now()
	b.awaitLost(w)
	noticed := time.Since(began)
	b.letGo()
	b.awaitState(client.JobPublished)
	return noticed
}
