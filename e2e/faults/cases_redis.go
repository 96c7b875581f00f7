package main

import "time"

func redisFaults() []fault {
	return []fault{
		{
			name: "redis-killed", does: "kill -9 of Redis while one job runs and another waits, started again 5 s later, empty",
			then: "the running build goes on, a build of that time starts within a worker's poll", within: 10 * time.Second, short: true,
			run: func(t *trial) time.Duration {
				t.startWorker("first", "--slots", "2")
				running := t.submit("running", shape{waits: stepBuild})
				running.awaitStep(stepBuild)
				t.must("kill Redis", t.redis.kill())
				began := time.Now()
				during := t.submit("during", shape{waits: stepBuild})
				during.awaitStep(stepBuild)
				noticed := time.Since(began)
				t.sleep(5 * time.Second)
				t.must("start Redis", t.redis.start(t.ctx))
				after := t.submit("after", shape{})
				for _, b := range []*build{running, during, after} {
					b.attempts = 1
					b.letGo()
				}
				return noticed
			},
		},
	}
}
