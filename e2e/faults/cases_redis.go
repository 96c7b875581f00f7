package main

import (
	"syscall"
	"time"

	"github.com/modfarm/modfarm/client"
)

// withoutRedis is the longest until a worker with a free slot finds a job by itself: it asks every 3 s.
const withoutRedis = 10 * time.Second

func redisFaults() []fault {
	return []fault{
		{
			name: "redis-killed", does: "kill -9 of Redis while a job runs; another is submitted, and Redis started again 5 s later, empty",
			then: "the running build goes on, and workers find the other one by asking", within: withoutRedis, short: true,
			run: func(t *trial) time.Duration {
				return t.withoutRedis(5*time.Second, func() { t.must("kill Redis", t.redis.kill()) },
					func() { t.must("start Redis", t.redis.start(t.ctx)) })
			},
		},
		{
			name: "redis-unreachable", does: "Redis answers nobody for 30 s (SIGSTOP) while a job runs; another is submitted",
			then: "the same", within: withoutRedis,
			run: func(t *trial) time.Duration {
				return t.withoutRedis(30*time.Second, func() { t.must("freeze Redis", t.redis.signal(syscall.SIGSTOP)) },
					func() { t.must("thaw Redis", t.redis.signal(syscall.SIGCONT)) })
			},
		},
		{
			name: "redis-flushed", does: "FLUSHALL, five times, while ten jobs are in flight",
			then: "all are built, attempt 1", within: withoutRedis, short: true,
			run: func(t *trial) time.Duration { return t.flushRedis(10) },
		},
		{
			name: "redis-flushed-hundred", does: "the same with a hundred jobs in flight",
			then: "the same", within: withoutRedis,
			run: func(t *trial) time.Duration { return t.flushRedis(100) },
		},
	}
}

// withoutRedis takes Redis away for a time while a job runs. A job that is submitted meanwhile is found all the same.
func (t *trial) withoutRedis(lasts time.Duration, goes, comes func()) time.Duration {
	t.startWorker("first", "--slots", "2")
	running := t.submit("running", shape{waits: stepBuild})
	running.awaitStep(stepBuild)
	goes()
	began := time.Now()
	during := t.submit("during", shape{waits: stepBuild})
	during.await("a worker has it", func(j client.Job) bool { return j.State == client.JobRunning })
	noticed := time.Since(began)
	during.awaitStep(stepBuild)
	t.sleep(lasts - time.Since(began))
	comes()
	for _, b := range []*build{running, during, t.submit("after", shape{})} {
		b.attempts = 1
		b.letGo()
	}
	return noticed
}

// flushRedis empties Redis again and again while jobs wait, run and end.
func (t *trial) flushRedis(jobs int) time.Duration {
	const flushes = 5
	b := t.newModule("module", shape{})
	for n := range jobs {
		next := b.another(n)
		next.attempts = 1
		next.submit()
	}
	t.startWorker("first", "--slots", "2")
	var slowest time.Duration
	for n := range flushes {
		ended := n * jobs / flushes
		t.until("some jobs have ended", func() (bool, error) { return t.ended() >= ended, nil })
		t.must("flush Redis", t.redis.flush(t.ctx))
		began := time.Now()
		t.until("another job ends", func() (bool, error) { return t.ended() > ended, nil })
		slowest = max(slowest, time.Since(began))
	}
	return slowest
}

// ended counts the builds that have ended.
func (t *trial) ended() int {
	n := 0
	list, err := t.client.Builds(t.ctx, t.builds[0].req.Module, len(t.builds))
	t.must("list the builds", err)
	for _, b := range list {
		if b.Done() {
			n++
		}
	}
	return n
}
