package main

import (
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/client"
)

func engineFaults() []fault {
	list := []fault{
		{
			name: "engine-restarted", does: "the container engine is stopped while the build script runs, and started again 3 s later",
			then: "the worker builds it again, attempt 2",
			run:  func(t *trial) time.Duration { return t.restartEngine((*process).stop) },
		},
		{
			name: "engine-killed", does: "the same by kill -9", then: "the same",
			run: func(t *trial) time.Duration { return t.restartEngine((*process).kill) },
		},
	}
	for i := range list {
		list[i].root, list[i].within = true, deadWorker
		list[i].before = func(t *trial) {
			t.own = t.startEngine()
			t.elsewhere = func(first *worker) {
				first.engine, first.env = t.own.client, append(first.env, "DOCKER_HOST="+t.own.url())
			}
		}
	}
	return list
}

// restartEngine ends the engine under the only worker, and starts it again.
func (t *trial) restartEngine(end func(*process) error) time.Duration {
	_, b := t.reach(phases()[2])
	b.attempts = 2
	began := time.Now()
	t.must("end the engine", end(t.own.process))
	t.sleep(farmAway)
	t.must("start the engine", t.own.start(t.ctx, filepath.Join(t.dir, "engine.log")))
	b.await("the build begins again", func(j client.Job) bool { return j.State == client.JobRunning && j.Attempt > 1 })
	noticed := time.Since(began)
	b.letGo()
	return noticed
}
