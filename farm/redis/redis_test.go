package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/redis"
	"github.com/modfarm/modfarm/farm/redis/redistest"
	"github.com/modfarm/modfarm/module"
)

var (
	amd64 = module.Platform{OS: "linux", Arch: "amd64"}
	arm64 = module.Platform{OS: "linux", Arch: "arm64"}
)

// patience is how long a test waits for what should come at once; it fails afterwards.
const patience = 20 * time.Second

// world is a server for one test.
type world struct {
	t     *testing.T
	redis *redis.Redis
}

// onBoth runs test on a real server and on the embedded one.
func onBoth(t *testing.T, test func(w world)) {
	t.Helper()
	t.Parallel()
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(world{t, redistest.Open(t, redistest.Start(t).URL())})
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(world{t, redistest.Open(t, startEmbedded(t).URL())})
	})
}

func startEmbedded(t *testing.T) *redis.Embedded {
	t.Helper()
	e, err := redis.StartEmbedded(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// listener is one listening worker: it counts its wake-ups and stops with the test.
type listener struct {
	woken chan struct{}
	stop  func()
}

func listen(t *testing.T, r *redis.Redis, name string, platforms ...module.Platform) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &listener{woken: make(chan struct{}, 1000)}
	var done sync.WaitGroup
	done.Go(func() {
		if err := r.Listen(ctx, name, platforms, func() { l.woken <- struct{}{} }); err != nil {
			t.Errorf("Listen: %v", err)
		}
	})
	l.stop = func() { cancel(); done.Wait() }
	t.Cleanup(l.stop)
	l.await(t, "start")
	return l
}

func (l *listener) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-l.woken:
	case <-time.After(patience):
		t.Fatalf("not woken: %s", what)
	}
}

func TestEachRingWakesOneWorker(t *testing.T) {
	onBoth(t, func(w world) {
		t, r := w.t, w.redis
		var woken atomic.Int64
		all := make(chan struct{}, 100)
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		ready := make(chan struct{}, 3)
		for i := range 3 {
			done.Go(func() {
				first := true
				if err := r.Listen(ctx, fmt.Sprint("w", i), []module.Platform{amd64, arm64}, func() {
					if first { // the call at the start
						first = false
						ready <- struct{}{}
						return
					}
					woken.Add(1)
					all <- struct{}{}
				}); err != nil {
					t.Error(err)
				}
			})
		}
		for range 3 {
			<-ready
		}
		const rings = 30
		for i := range rings {
			if err := r.Ring(t.Context(), []module.Platform{amd64, arm64}[i%2], fmt.Sprint("job", i)); err != nil {
				t.Fatal(err)
			}
		}
		// A read may bring one ring of each platform, and wakes once for both.
		for range rings / 2 {
			select {
			case <-all:
			case <-time.After(patience):
				t.Fatalf("woken %d times by %d rings", woken.Load(), rings)
			}
		}
		cancel()
		done.Wait() // every ring is taken or nobody listens any more
		if n := woken.Load(); n > rings {
			t.Errorf("%d rings woke %d times", rings, n)
		}
	})
}

func TestListenHearsItsPlatforms(t *testing.T) {
	onBoth(t, func(w world) {
		t, r := w.t, w.redis
		l := listen(t, r, "w1", amd64)
		if err := r.Ring(t.Context(), arm64, "other"); err != nil {
			t.Fatal(err)
		}
		if err := r.Ring(t.Context(), amd64, "mine"); err != nil {
			t.Fatal(err)
		}
		l.await(t, "ring for its platform")
		l.stop()
		if n := len(l.woken); n != 0 {
			t.Errorf("woken %d times more", n)
		}
	})
}

func TestRingsWaitForTheFirstWorker(t *testing.T) {
	onBoth(t, func(w world) {
		t, r := w.t, w.redis
		if err := r.Ring(t.Context(), amd64, "early"); err != nil {
			t.Fatal(err)
		}
		l := listen(t, r, "w1", amd64) // woken at the start
		l.await(t, "ring from before")
	})
}

func TestListenWithoutPlatforms(t *testing.T) {
	onBoth(t, func(w world) {
		t, r := w.t, w.redis
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Listen(ctx, "w1", nil, func() { t.Error("woken") }); err != nil {
			t.Error(err)
		}
	})
}

// TestFlushAll empties the server under a blocked reader: the groups are made again and the next ring is heard.
func TestFlushAll(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := redistest.Open(t, s.URL())
	l := listen(t, r, "w1", amd64, arm64)
	for i := range 3 {
		if got := s.Do(t, "FLUSHALL"); got != "+OK" {
			t.Fatalf("FLUSHALL: %s", got)
		}
		l.await(t, "rings may have been lost")
		if err := r.Ring(t.Context(), arm64, fmt.Sprint("job", i)); err != nil {
			t.Fatal(err)
		}
		l.await(t, "ring after FLUSHALL")
	}
}

// TestRestart kills the server and starts it again, empty.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := redistest.Open(t, s.URL())
	l := listen(t, r, "w1", amd64)
	cancelled := make(chan string, 100)
	go r.Cancels(t.Context(), func(id string) { cancelled <- id }) //nolint:errcheck // ends with the test
	grown, err := r.WatchLog(t.Context(), "j1")
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := r.Ring(t.Context(), amd64, "nobody"); err == nil {
		t.Error("rang a dead server")
	}
	s.Restart(t)
	l.await(t, "rings may have been lost")
	until(t, "ring, cancel and log after the restart", func() bool {
		for _, err := range []error{
			r.Ring(t.Context(), amd64, "j1"), r.Cancel(t.Context(), "j1"), r.NotifyLog(t.Context(), "j1"),
		} {
			if err != nil {
				return false
			}
		}
		return len(l.woken) > 0 && len(cancelled) > 0 && len(grown) > 0
	})
}

func TestCancelAndLog(t *testing.T) {
	onBoth(t, func(w world) {
		t, r := w.t, w.redis
		ctx, cancel := context.WithCancel(t.Context())
		cancelled, ended := make(chan string, 10), make(chan error, 1)
		go func() { ended <- r.Cancels(ctx, func(id string) { cancelled <- id }) }()
		until(t, "cancel", func() bool { return r.Cancel(t.Context(), "j1") == nil && len(cancelled) > 0 })
		if id := <-cancelled; id != "j1" {
			t.Errorf("cancelled %q", id)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Cancels: %v", err)
		}

		other, err := r.WatchLog(t.Context(), "j2")
		if err != nil {
			t.Fatal(err)
		}
		grown, err := r.WatchLog(t.Context(), "j1")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := r.NotifyLog(t.Context(), "j1"); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-grown:
		case <-time.After(patience):
			t.Fatal("not told that the log grew")
		}
		if len(other) != 0 {
			t.Error("told about another job's log")
		}
	})
}

func TestPresence(t *testing.T) {
	onBoth(t, func(w world) {
		t, r := w.t, w.redis
		for worker, ttl := range map[string]time.Duration{"stays": time.Hour, "goes": 1500 * time.Millisecond, "odd*[name": time.Hour} {
			if err := r.Presence(t.Context(), worker, "info of "+worker, ttl); err != nil {
				t.Fatal(err)
			}
		}
		var got map[string]string
		until(t, "a worker goes away", func() bool {
			var err error
			if got, err = r.Workers(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(got) == 2
		})
		want := map[string]string{"stays": "info of stays", "odd*[name": "info of odd*[name"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("workers (-want +got):\n%s", diff)
		}
		elsewhere, err := r.WithPrefix("elsewhere:").Workers(t.Context())
		if err != nil || len(elsewhere) != 0 {
			t.Errorf("another farm's workers: %v, %v", elsewhere, err)
		}
	})
}

func TestStreamIsTrimmed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := redistest.Open(t, s.URL())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 1000 {
				if err := r.Ring(t.Context(), amd64, "job"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	var n int
	if _, err := fmt.Sscanf(s.Do(t, "XLEN", t.Name()+":jobs:linux/amd64"), ":%d", &n); err != nil || n < 1000 || n > 1200 {
		t.Errorf("%d rings kept of 20000, %v", n, err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for url, is := range map[string]error{
		"http://user:hunter2@host":          module.ErrInvalid,
		"redis://user:hunter2@127.0.0.1:1/": module.ErrUnavailable,
	} {
		_, err := redis.Open(t.Context(), url)
		if !errors.Is(err, is) {
			t.Errorf("Open(%s): %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is repeated: %v", err)
		}
	}
	e := startEmbedded(t)
	_, address, _ := strings.Cut(e.URL(), "@")
	if _, err := redis.Open(t.Context(), "redis://:wrong@"+address); err == nil {
		t.Error("the embedded server takes any password")
	}
}

// until asks until it is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("never came: %s", what)
		}
	}
}
