package main

import "time"

func farmFaults() []fault {
	return []fault{
		{
			name: "farm-killed-build", does: "kill -9 of the farm while a build script runs, started again 3 s later",
			then: "the worker goes on, attempt 1", within: 10 * time.Second, short: true,
			run: func(t *trial) time.Duration {
				return t.killFarmAt(stepBuild, shape{waits: stepBuild})
			},
		},
	}
}

// farmAway is how long a farm that was killed stays away.
const farmAway = 3 * time.Second

// killFarmAt kills the farm while a worker is at a step, and starts it again.
func (t *trial) killFarmAt(step string, s shape) time.Duration {
	t.startWorker("first")
	b := t.submit("module", s)
	b.attempts = 1
	b.awaitStep(step)
	t.killFarm()
	t.sleep(farmAway)
	t.startFarm()
	return t.goesOn(b)
}

// goesOn is how long it takes from now until more of a job's log arrives.
func (t *trial) goesOn(b *build) time.Duration {
	began, seen := time.Now(), len(b.log.read())
	t.until("the log goes on", func() (bool, error) { return len(b.log.read()) > seen, nil })
	noticed := time.Since(began)
	b.letGo()
	return noticed
}
