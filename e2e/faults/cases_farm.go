package main

import (
	"context"
	"database/sql"
	"net/http"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver of database/sql

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/store/storetest"
)

// farmAway is how long a farm that was killed stays away, and backSoon how long it may take from its return until
// what it was in the middle of goes on: a worker that waits for it asks every 5 s at least.
const (
	farmAway = 3 * time.Second
	backSoon = 10 * time.Second
)

func farmFaults() []fault {
	list := []fault{
		{
			name: "farm-killed-resolving", does: "kill -9 of the farm while it reads the repository, started again 3 s later",
			then: "it reads it again", within: backSoon, run: killFarmResolving,
		},
		{
			name: "farm-killed-queued", does: "the same while ten jobs wait for a worker",
			then: "all are built, attempt 1", within: backSoon, run: killFarmQueued,
		},
	}
	for _, p := range phases() {
		list = append(list, fault{
			name: "farm-killed-" + p.name, does: "the same " + p.does, then: "the worker goes on, attempt 1",
			within: backSoon, short: p.name == "build" || p.name == "upload",
			run: func(t *trial) time.Duration { return t.killFarmAt(p) },
		})
	}
	list = append(list,
		fault{
			name: "farm-killed-receiving", does: "the same while the farm inspects the archive that it received",
			then: "the worker sends it again, attempt 1", within: backSoon, run: killFarmReceiving,
		},
		fault{
			name: "farm-answer-lost", does: "the connection breaks when the answer to finish is under way",
			then: "the worker says it again, one release", run: loseAnswer,
		},
		fault{
			name: "farm-killed-build-postgres", does: "kill -9 of a farm on PostgreSQL while the build script runs, started again 3 s later",
			then: "the worker goes on, attempt 1", within: backSoon, before: onPostgres,
			run: func(t *trial) time.Duration { return t.killFarmAt(phases()[2]) },
		},
		fault{
			name: "farm-killed-publishing-postgres", does: "the same in the middle of publishing",
			then: "it publishes what it has, attempt 1", within: deadWorker, before: onPostgres,
			run: killFarmPublishing,
		},
	)
	return list
}

// restartFarm kills the farm and starts it again.
func (t *trial) restartFarm() {
	t.killFarm()
	t.sleep(farmAway)
	t.startFarm()
}

// killFarmAt kills the farm while a job is in a phase. With another worker there, it shows that nothing is rebuilt.
func (t *trial) killFarmAt(p phase) time.Duration {
	_, b := t.reach(p)
	b.attempts = 1
	t.startWorker("second")
	if job := b.now(); job.Step != p.step {
		t.fail("the farm is killed in the step %q, too late for %q", job.Step, p.step)
	}
	t.restartFarm()
	if p.shape.waits != "" {
		return t.goesOn(b)
	}
	began := time.Now()
	b.letGo()
	b.awaitState(client.JobPublished)
	return time.Since(began)
}

// goesOn is how long it takes from now until more of a job's log arrives. Then its scripts are let go.
func (t *trial) goesOn(b *build) time.Duration {
	began, seen := time.Now(), len(b.log.read())
	t.until("the log goes on", func() (bool, error) { return len(b.log.read()) > seen, nil })
	noticed := time.Since(began)
	b.letGo()
	return noticed
}

func killFarmResolving(t *trial) time.Duration {
	b := t.newModule("module", shape{})
	b.attempts = 1
	h := t.repos.hold(0, isFetch)
	b.submit()
	t.reached(h)
	b.awaitState(client.JobResolving)
	t.restartFarm()
	began := time.Now()
	h.release()
	b.awaitState(client.JobQueued)
	noticed := time.Since(began)
	t.startWorker("first")
	return noticed
}

func killFarmQueued(t *trial) time.Duration {
	const jobs = 10
	b := t.newModule("module", shape{})
	for n := range jobs {
		next := b.another(n)
		next.attempts = 1
		next.submit()
	}
	for _, b := range t.builds {
		b.awaitState(client.JobQueued)
	}
	w := t.newWorker("first", "--slots", "2")
	t.restartFarm()
	began := time.Now()
	w.start()
	t.until("a job is taken", func() (bool, error) { return t.builds[0].now().Attempt > 0, nil })
	return time.Since(began)
}

// killFarmReceiving kills the farm while it unpacks an archive that is short to send and long to look at.
func killFarmReceiving(t *trial) time.Duration {
	w := t.startWorker("first")
	b := t.submit("module", shape{zeros: zeros})
	b.attempts = 1
	b.awaitStep(stepUpload)
	t.restartFarm()
	began := time.Now()
	t.must("a worker sends again", w.awaitWords(t.ctx, "done"))
	b.awaitState(client.JobPublished)
	return time.Since(began)
}

func loseAnswer(t *trial) time.Duration {
	lose := isFinish
	once := func(r *http.Request) bool {
		if !lose(r) {
			return false
		}
		t.lose.Store(nil)
		return true
	}
	t.lose.Store(&once)
	t.startWorker("first")
	b := t.submit("module", shape{})
	b.attempts = 1
	t.until("an answer is lost", func() (bool, error) { return t.lose.Load() == nil, nil })
	began := time.Now()
	b.awaitState(client.JobPublished)
	return time.Since(began)
}

// onPostgres gives the trial's farm a PostgreSQL of its own.
func onPostgres(t *trial) {
	servers, err := storetest.Start(t.ctx)
	t.must("start PostgreSQL", err)
	t.atEnd(servers.Stop)
	t.database, err = servers.Database(t.ctx)
	t.must("make a database", err)
}

// killFarmPublishing kills the farm after it took an archive, and before it published it: the table of releases is
// locked meanwhile.
func killFarmPublishing(t *trial) time.Duration {
	_, b := t.reach(phases()[5])
	b.attempts = 1
	unlock := t.lockReleases()
	b.letGo()
	b.awaitState(client.JobPublishing)
	t.killFarm()
	unlock()
	t.sleep(farmAway)
	t.startFarm()
	began := time.Now()
	b.awaitState(client.JobPublished)
	return time.Since(began)
}

func (t *trial) lockReleases() (unlock func()) {
	db, err := sql.Open("pgx", t.database)
	t.must("open the database", err)
	t.atEnd(db.Close)
	tx, err := db.BeginTx(context.WithoutCancel(t.ctx), nil)
	t.must("begin a transaction", err)
	_, err = tx.ExecContext(t.ctx, "LOCK TABLE releases IN ACCESS EXCLUSIVE MODE")
	t.must("lock the releases", err)
	return func() { t.must("unlock the releases", tx.Rollback()) }
}
