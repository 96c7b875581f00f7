package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/farm/store/storetest"
)

// leader is one process that wants to lead.
type leader struct {
	store *store.Store
	stop  context.CancelFunc
	began chan struct{} // one for each time that it leads
	ended chan struct{}
}

func newLeader(t *testing.T, dsn string, running *sync.WaitGroup) *leader {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &leader{store: storetest.Reopen(t, dsn), stop: stop, began: make(chan struct{}, 10), ended: make(chan struct{}, 10)}
	running.Go(func() {
		err := l.store.Lead(ctx, "a test", func(ctx context.Context) error {
			l.began <- struct{}{}
			<-ctx.Done()
			l.ended <- struct{}{}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	return l
}

// soon waits for what takes seconds on a quiet machine.
func soon(t *testing.T, what string, happens <-chan struct{}) {
	t.Helper()
	select {
	case <-happens:
	case <-time.After(time.Minute):
		t.Fatalf("waited in vain until %s", what)
	}
}

// TestLead holds that one process leads at a time, and that another follows when it ends or loses its connection.
func TestLead(t *testing.T) {
	t.Parallel()
	dsn := servers.DSN(t, "postgres")
	var running sync.WaitGroup
	first := newLeader(t, dsn, &running)
	soon(t, "the first leads", first.began)
	second := newLeader(t, dsn, &running)
	t.Cleanup(func() { first.stop(); second.stop(); running.Wait() })
	other := second.store.Lead(t.Context(), "another name", func(context.Context) error { return nil })
	if other != nil {
		t.Error(other)
	}
	// What the server does when the first one's process is gone.
	if err := second.store.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`); err != nil {
		t.Fatal(err)
	}
	soon(t, "the first notices", first.ended)
	var leads, follows *leader
	select {
	case <-second.began:
		leads, follows = second, first
	case <-first.began: // it was quicker
		leads, follows = first, second
	case <-time.After(time.Minute):
		t.Fatal("nobody follows")
	}
	select {
	case <-follows.began:
		t.Fatal("two lead")
	default:
	}
	leads.stop()
	soon(t, "the other one follows", follows.began)
}

// TestLeadAlone: nobody shares a SQLite file.
func TestLeadAlone(t *testing.T) {
	t.Parallel()
	ran := false
	err := servers.Open(t, "sqlite").Lead(t.Context(), "a test", func(context.Context) error { ran = true; return nil })
	if err != nil || !ran {
		t.Errorf("ran %t, %v", ran, err)
	}
}
