package farm_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/redis"
	"github.com/modfarm/modfarm/farm/redis/redistest"
	"github.com/modfarm/modfarm/module"
)

// patience is how long a test waits for what should come soon; it fails afterwards.
const patience = 60 * time.Second

// TestFlushAll empties Redis again and again amid a hundred jobs: each of them is built exactly once all the same,
// because rows are the truth and Redis only the bell.
func TestFlushAll(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		server := redistest.Start(t)
		bell := redistest.Open(t, server.URL())
		w.useBell(bell)
		const builds, workers = 25, 5
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var all sync.WaitGroup
		defer all.Wait()
		defer stop()
		all.Go(func() { w.Run(ctx) }) //nolint:errcheck // always nil
		var built atomic.Int64
		finished := make(chan struct{}, builds*4)
		for i := range workers {
			all.Go(func() { w.work(ctx, bell, fmt.Sprint("w", i), func() { built.Add(1); finished <- struct{}{} }) })
		}
		for range builds {
			if _, err := w.Submit(ctx, submission("", amd64, arm64, arm32v7, arm32v6)); err != nil {
				t.Fatal(err)
			}
		}
		deadline := time.After(patience)
		for n := range builds * 4 {
			if n%10 == 0 {
				server.Do(t, "FLUSHALL")
			}
			select {
			case <-finished:
			case <-deadline:
				t.Fatalf("%d of %d jobs built", built.Load(), builds*4)
			}
		}
		list, err := w.Builds(t.Context(), farm.BuildFilter{})
		if err != nil || len(list) != builds {
			t.Fatalf("%d builds, %v", len(list), err)
		}
		for _, b := range list {
			for _, j := range b.Jobs {
				if j.State != farm.Built || j.Attempt != 1 {
					t.Errorf("%s: %s after %d attempts", j.Platform, j.State, j.Attempt)
				}
			}
		}
	})
}

// TestNoRedisAtAll kills the server: workers that ask by themselves still get everything.
func TestNoRedisAtAll(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		server := redistest.Start(t)
		w.useBell(redistest.Open(t, server.URL()))
		server.Kill()
		b := w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		w.stage(a, "d1")
		if err := w.Cancel(t.Context(), "no-such-id"); err == nil {
			t.Error("no error")
		}
		w.wantState(w.finish(a, done), farm.Published)
		if b.ID == "" {
			t.Error("no id")
		}
	})
}

// TestFollowLogByBell: a reader is told by the embedded Redis.
func TestFollowLogByBell(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		e, err := redis.StartEmbedded(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		w.useBell(redistest.Open(t, e.URL()))
		w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		got, ended := make(chan string, 10), make(chan error, 1)
		go func() {
			ended <- w.FollowLog(t.Context(), a.Job.ID, 0, func(c farm.LogChunk) error { got <- string(c.Data); return nil })
		}()
		for i, text := range []string{"a", "b", "c"} {
			if _, err := w.AppendLog(t.Context(), a.Lease.Ref(), farm.LogChunk{Offset: int64(i), Data: []byte(text)}); err != nil {
				t.Fatal(err)
			}
			if read := <-got; read != text {
				t.Errorf("followed %q, want %q", read, text)
			}
		}
		w.wantState(w.finish(a, done), farm.Built)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// useBell puts a farm with a real bell and a real clock over the rows.
func (w *world) useBell(bell farm.Bell) {
	w.Farm = &farm.Farm{
		Store: w.store, Modules: modules{}, Source: w.source, Publisher: w.pub, Sealer: sealer{}, Bell: bell,
	}
}

// work is a worker that claims whenever it is woken, and until nothing is left.
func (w *world) work(ctx context.Context, bell *redis.Redis, name string, built func()) {
	platforms := []module.Platform{amd64, arm64, arm32v7, arm32v6}
	err := bell.Listen(ctx, name, platforms, func() {
		for {
			a, err := w.Claim(ctx, farm.Worker{Name: name, Native: platforms})
			if err != nil && ctx.Err() == nil {
				w.t.Errorf("Claim: %v", err)
			}
			if a == nil {
				return
			}
			if _, err := w.Finish(ctx, a.Lease.Ref(), done); err != nil {
				w.t.Errorf("Finish: %v", err)
			}
			built()
		}
	})
	if err != nil {
		w.t.Errorf("Listen: %v", err)
	}
}
