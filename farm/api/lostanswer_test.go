package api_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/api/apitest"
)

// relay is a wire between a worker and its farm that can be cut with bytes under way.
type relay struct {
	URL  string
	farm string

	mu    sync.Mutex
	deaf  bool         // what the farm answers is lost
	late  bytes.Buffer // what was on its way to the farm
	slow  bool         // what goes to the farm is on its way until arrive
	ends  []net.Conn   // the worker's ends
	farms []net.Conn   // the farm's ends of the same
	moved time.Time    // when something was last on its way
}

func newRelay(t *testing.T, farm string) *relay {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{URL: "http://" + l.Addr().String(), farm: farm}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", farm)
			if err != nil {
				_ = near.Close()
				continue
			}
			r.change(func() { r.ends, r.farms = append(r.ends, near), append(r.farms, far) })
			all.Go(func() { r.pass(near, far, &r.slow, &r.late) })
			all.Go(func() { r.pass(far, near, &r.deaf, nil) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.cut()
		r.change(func() {
			for _, far := range r.farms {
				_ = far.Close()
			}
		})
		all.Wait()
	})
	return r
}

func (r *relay) change(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn()
}

// pass carries bytes one way. While held is true they go into kept, or nowhere.
func (r *relay) pass(from, to net.Conn, held *bool, kept *bytes.Buffer) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		r.change(func() {
			switch {
			case !*held:
				_, _ = to.Write(buf[:n]) // an end that is gone ends the read, too
			case kept != nil:
				_, _ = kept.Write(buf[:n])
				r.moved = time.Now()
			}
		})
	}
}

// cut ends the worker's connections. The farm hears nothing of it.
func (r *relay) cut() {
	r.change(func() {
		for _, near := range r.ends {
			_ = near.Close()
		}
		r.ends = nil
	})
}

// onTheWay says that a whole request with the text is held.
func (r *relay) onTheWay(text string) (yes bool) {
	r.change(func() {
		yes = strings.Contains(r.late.String(), text) && time.Since(r.moved) > 200*time.Millisecond
	})
	return yes
}

// arrive delivers what was held, by the connection it was sent on, and holds no more.
func (r *relay) arrive(t *testing.T, far net.Conn) {
	t.Helper()
	r.change(func() {
		if _, err := far.Write(r.late.Bytes()); err != nil {
			t.Error(err)
		}
	})
}

// worker connects a worker of its own connections.
func (r *relay) worker(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: r.URL, WorkerToken: apitest.WorkerToken})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newLeaseOf is a token that a worker chose.
func newLeaseOf(letter string) client.Worker {
	w := everything
	w.NextLease = strings.Repeat(letter, 32)
	return w
}

// running is the one job of a build, as soon as a worker has it.
func running(t *testing.T, f *apitest.Farm, build string) (attempt int) {
	t.Helper()
	apitest.Eventually(t, "a claimed job", func() bool {
		b, err := f.Farm.Build(t.Context(), build)
		if err != nil {
			t.Fatal(err)
		}
		attempt = b.Jobs[0].Attempt
		return b.Jobs[0].State == "running"
	})
	return attempt
}

// TestClaimAnswerIsLost cuts the connection of a worker between its claim and the answer. The same worker has the job
// as soon as it asks again; one that stops instead gives it back at once. Neither costs an attempt.
func TestClaimAnswerIsLost(t *testing.T) {
	t.Parallel()
	f, c, _ := buildFarm(t)
	wire := newRelay(t, f.Addr)
	worker := wire.worker(t)
	lose := func(who client.Worker, version string) string {
		t.Helper()
		id, err := start(c, version, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		apitest.Eventually(t, "a resolved build", func() bool {
			b, err := f.Farm.Build(t.Context(), id)
			return err == nil && b.Jobs[0].State == "queued"
		})
		wire.change(func() { wire.deaf = true })
		lost := make(chan error, 1)
		go func() {
			_, err := worker.Claim(t.Context(), who)
			lost <- err
		}()
		if attempt := running(t, f, id); attempt != 1 {
			t.Errorf("attempt %d, want the first", attempt)
		}
		wire.cut()
		var e *client.Error
		if err := <-lost; !errors.As(err, &e) || e.Answered {
			t.Errorf("the claim without an answer: %v", err)
		}
		wire.change(func() { wire.deaf = false })
		return id
	}

	first := newLeaseOf("a")
	id := lose(first, "0.1.0")
	var ref client.LeaseRef
	for range 2 { // and when bytes of a claim arrive late
		a, err := worker.Claim(t.Context(), first)
		if err != nil || a == nil || a.Build.ID != id || a.Job.Attempt != 1 || a.Lease.Token != first.NextLease {
			t.Fatalf("the same claim again: %+v, %v", a, err)
		}
		ref = a.Lease.LeaseRef
	}
	a, err := worker.Claim(t.Context(), newLeaseOf("b"))
	if err != nil || a != nil {
		t.Errorf("the next claim: %+v, %v; want nothing", a, err)
	}
	if _, err := worker.Finish(t.Context(), ref, client.Outcome{Kind: client.OutcomeFailed, Reason: "it is enough"}); err != nil {
		t.Fatal(err)
	}
	if a, err := worker.Claim(t.Context(), first); a != nil || !errors.Is(err, client.ErrLeaseLost) {
		t.Errorf("a claim whose job is over: %+v, %v", a, err)
	}

	second := newLeaseOf("c")
	id = lose(second, "0.2.0")
	second.Draining = true
	for range 2 { // the second has nothing left to give back
		if a, err := worker.Claim(t.Context(), second); a != nil || err != nil {
			t.Errorf("the last claim: %+v, %v", a, err)
		}
	}
	other := newLeaseOf("d")
	other.Name = "w2"
	if a, err := worker.Claim(t.Context(), other); err != nil || a == nil || a.Build.ID != id || a.Job.Attempt != 1 {
		t.Errorf("the job of a worker that stopped: %+v, %v; want its first attempt, now", a, err)
	}
}

// TestClaimArrivesLate delivers a claim after its worker gave it up and was told, by another connection, that there is
// nothing to do.
func TestClaimArrivesLate(t *testing.T) {
	t.Parallel()
	f, c, _ := buildFarm(t)
	wire := newRelay(t, f.Addr)
	worker, me := wire.worker(t), newLeaseOf("a")
	wire.change(func() { wire.slow = true })
	given := make(chan error, 1)
	go func() {
		_, err := worker.Claim(t.Context(), me)
		given <- err
	}()
	apitest.Eventually(t, "a claim on its way", func() bool { return wire.onTheWay(me.NextLease) })
	wire.cut()
	if err := <-given; err == nil {
		t.Error("a claim that did not arrive was answered")
	}
	var far net.Conn
	wire.change(func() { wire.slow, far = false, wire.farms[len(wire.farms)-1] })
	if a, err := worker.Claim(t.Context(), me); a != nil || err != nil {
		t.Errorf("a claim without jobs: %+v, %v", a, err)
	}
	id, err := start(c, "0.1.0", "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	apitest.Eventually(t, "a resolved build", func() bool {
		b, err := f.Farm.Build(t.Context(), id)
		return err == nil && b.Jobs[0].State == "queued"
	})
	wire.arrive(t, far)
	running(t, f, id)
	a, err := worker.Claim(t.Context(), me)
	if err != nil || a == nil || a.Build.ID != id || a.Job.Attempt != 1 {
		t.Errorf("the claim after it: %+v, %v; want the job of the late one", a, err)
	}
}

// TestNextLeaseIsLong refuses tokens that could be guessed.
func TestNextLeaseIsLong(t *testing.T) {
	t.Parallel()
	_, _, worker := buildFarm(t)
	me := everything
	me.NextLease = "short"
	if _, err := worker.Claim(t.Context(), me); err == nil || !strings.Contains(err.Error(), "lease_token") || strings.Contains(err.Error(), me.NextLease+`"`) {
		t.Errorf("a short token: %v", err)
	}
}
