package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/farm/redis/redistest"
)

// TestSecondSignalGivesBack stops a worker in the middle of a build as an impatient operator does. At the first SIGTERM it takes
// no more jobs and builds on; at the second its script is asked to end and the job is given back at once, with nothing
// left on the machine. The next worker builds it, as its first attempt.
func TestSecondSignalGivesBack(t *testing.T) {
	t.Parallel()
	cfg := upConfig(t)
	buildArgs := cfg.UpArgs
	cfg.UpArgs = []string{"--allow-private-repositories"}
	redis := redistest.Start(t)
	farm, err := road.StartServe(t.Context(), cfg, redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	start := func() *process {
		t.Helper()
		name := workerName()
		p := &process{work: filepath.Join(cfg.Dir, "work-"+name)}
		// Nobody waits for a drain of an hour, nor for a grace of a minute.
		p.cmd = exec.Command(cfg.Modfarm, append([]string{
			"worker", "--farm", farm.URL(), "--token-file", filepath.Join(farm.Dir(), "worker.token"), "--name", name, "--work", p.work,
			"--slots", "1", "--drain", "1h", "--stop-grace", "1m", "--allow-private-repositories",
		}, buildArgs...)...)
		p.cmd.Env = append(os.Environ(), "MODFARM_REDIS="+redis.URL())
		p.begin(t).awaitReady(t)
		return p
	}
	first := start()
	id := submit(t, farm, map[string]string{
		"meta.json": manifest(t, "trap 'echo asked to end; exit 1' TERM; while :; do sleep 0.1; done"),
	})
	running := func(b client.Build) bool { return b.Jobs[0].State == client.JobRunning && b.Jobs[0].Step == "Build" }
	waitFor(t, farm, id, running)

	signal := func() {
		t.Helper()
		if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	signal()
	select {
	case <-first.ended:
		t.Fatalf("the worker ended at the first signal: %v\n%s", first.err, first.said())
	case <-time.After(3 * time.Second):
	}
	if b := waitFor(t, farm, id, running); b.Jobs[0].Attempt != 1 {
		t.Errorf("attempt %d after the first signal", b.Jobs[0].Attempt)
	}

	began := time.Now()
	signal()
	b := waitFor(t, farm, id, func(b client.Build) bool { return b.Jobs[0].State == client.JobQueued })
	if took := time.Since(began); took > 10*time.Second { // a lease takes 15 s
		t.Errorf("the job was given back after %s", took)
	}
	if job := b.Jobs[0]; job.Attempt != 0 || !strings.Contains(job.Reason, "gave the job back") {
		t.Errorf("given back after attempt %d: %s", job.Attempt, job.Reason)
	}
	select {
	case <-first.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("the worker did not end at the second signal:\n%s", first.said())
	}
	if first.err != nil {
		t.Errorf("the worker ended with %v:\n%s", first.err, first.said())
	}
	left, err := road.LeftoversOf(t.Context(), first.name())
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := filepath.Glob(filepath.Join(first.work, "jobs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if left = append(left, jobs...); len(left) > 0 {
		t.Errorf("left on the machine: %q", left)
	}

	second := start()
	b = waitFor(t, farm, id, running)
	if job := b.Jobs[0]; job.Attempt != 1 || job.Worker != second.name() {
		t.Errorf("attempt %d on %s; want the first, on %s", job.Attempt, job.Worker, second.name())
	}
	c, err := farm.Client()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CancelBuild(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	if err := c.FollowLog(t.Context(), b.Jobs[0].ID, 0, func(chunk client.LogChunk) error {
		_, err := log.Write(chunk.Data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if before, _, ok := strings.Cut(log.String(), "gave the job back"); !ok || !strings.Contains(before, "asked to end") {
		t.Errorf("the log does not tell that the script was asked to end, and of the next attempt:\n%s", log.String())
	}
}
