package workers_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

// stuckFarm keeps whoever uploads waiting, and hears nothing of a worker that counts as killed.
type stuckFarm struct {
	*fakeFarm
	reached chan struct{}
	killed  *atomic.Bool
	// copied ends the calls that come after the kill: until then the worker must neither go on nor clear up.
	copied chan struct{}
}

// gone is the end of every call of a worker that was killed.
func (f stuckFarm) gone(ctx context.Context) error {
	select {
	case <-f.copied:
	case <-ctx.Done():
	}
	return client.ErrLeaseLost
}

func (f stuckFarm) Extend(ctx context.Context, l client.LeaseRef, p client.Progress) (client.Directive, error) {
	if f.killed.Load() {
		return client.Directive{}, f.gone(ctx)
	}
	return f.fakeFarm.Extend(ctx, l, p)
}

func (f stuckFarm) AppendLog(ctx context.Context, l client.LeaseRef, c client.LogChunk) (int64, error) {
	if f.killed.Load() {
		return 0, f.gone(ctx)
	}
	return f.fakeFarm.AppendLog(ctx, l, c)
}

func (f stuckFarm) Finish(ctx context.Context, l client.LeaseRef, o client.Outcome) (client.Job, error) {
	if f.killed.Load() {
		return client.Job{}, f.gone(ctx)
	}
	return f.fakeFarm.Finish(ctx, l, o)
}

func (f stuckFarm) PutArchive(ctx context.Context, _ client.LeaseRef, _ module.Strategy, _ io.ReadSeeker, _ func(sent, total int64)) (client.Archive, error) {
	f.reached <- struct{}{}
	<-ctx.Done()
	return client.Archive{}, context.Cause(ctx)
}

// TestRestartedWorkerGoesOn takes what a worker had on disk at a moment, as if it had been killed then, and starts
// another on it: what was built is not built again, and what was not is built at once, while the lease stands.
func TestRestartedWorkerGoesOn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lost, built bool
		runs        string
	}{
		"built":          {built: true, runs: "x"},
		"not built":      {runs: "xx"},
		"built and lost": {built: true, lost: true, runs: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			runs, gate := filepath.Join(dir, "runs"), filepath.Join(dir, "gate")
			first := newWorld(t)
			stuck := stuckFarm{first.farm, make(chan struct{}, 1), new(atomic.Bool), make(chan struct{})}
			first.pool.Farm = stuck
			script := "printf x >>" + runs + "; echo a line; " + makeOut
			if !tc.built {
				script = "printf x >>" + runs + "; echo a line; while [ ! -e " + gate + " ]; do sleep 0.1; done; " + makeOut
			}
			id := first.submit(nil, module.BuildSpec{Build: script}, map[string]string{"run.sh": "#!/bin/sh\n"})
			first.start()
			if tc.built {
				wait(t, "the upload", stuck.reached)
			}
			first.farm.awaitLog(t, id, "a line")
			work := t.TempDir()
			stuck.killed.Store(true)
			err := os.CopyFS(work, os.DirFS(first.pool.WorkDir))
			close(stuck.copied)
			if err != nil {
				t.Fatal(err)
			}
			if tc.lost {
				first.farm.lose(id)
			}

			second := *first
			second.runner, second.done = newHostRunner(), make(chan error, 1)
			second.pool = &workers.Pool{
				Name: first.pool.Name, Farm: first.farm, Fetcher: first.pool.Fetcher, Runner: second.runner, Host: first.pool.Host,
				Native: first.pool.Native, WorkDir: work, Slots: 1, Poll: first.pool.Poll,
			}
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			second.start()
			if tc.lost {
				eventually(t, "the folder is gone", func() bool {
					left, err := filepath.Glob(filepath.Join(work, "jobs", "*", "*"))
					return err == nil && len(left) == 0
				})
			} else if got := wait(t, "the outcome", first.farm.ended(id)); got.Kind != client.OutcomeDone {
				t.Errorf("outcome %+v\n%s", got, first.farm.log(id))
			}
			ran, err := os.ReadFile(runs)
			if err != nil || !strings.HasPrefix(string(ran), tc.runs) || tc.built && len(ran) > 1 {
				t.Errorf("the script ran %q times, want %q; %v", ran, tc.runs, err)
			}
			log := first.farm.log(id)
			if want := len(tc.runs); !tc.lost && strings.Count(log, "\na line\n")+strings.Count(log, "]a line\n") != want {
				t.Errorf("the line is not there %d times:\n%s", want, log)
			}
		})
	}
}
