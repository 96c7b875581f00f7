package github_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
)

// counted counts how often the loops look for work, and for an App.
type counted struct {
	github.Store
	apps, due atomic.Int64
}

func (c *counted) App(ctx context.Context) (github.SealedApp, error) {
	c.apps.Add(1)
	return c.Store.App(ctx)
}

func (c *counted) DueDeliveries(ctx context.Context, now time.Time, limit int) ([]github.Delivery, error) {
	c.due.Add(1)
	return c.Store.DueDeliveries(ctx, now, limit)
}

func (c *counted) DueTags(ctx context.Context, now time.Time, limit int) ([]github.Tag, error) {
	c.due.Add(1)
	return c.Store.DueTags(ctx, now, limit)
}

func (c *counted) DueChecks(ctx context.Context, now time.Time, limit int) ([]github.Check, error) {
	c.due.Add(1)
	return c.Store.DueChecks(ctx, now, limit)
}

// TestLoopsRestWithoutApp: a farm that has no App asks its database once for each loop, and then waits to be woken.
func TestLoopsRestWithoutApp(t *testing.T) {
	t.Parallel()
	store := &counted{Store: servers.Open(t, "sqlite")}
	key := account.NewFarmKey()
	g := &github.GitHub{Store: store, Sealer: key.Sealer("github-app"), SweepEvery: never}
	w := &world{t: t, github: g, gh: githubtest.Start(t)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = g.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })

	const loops = 4
	w.eventually("each loop to look for an App", func() bool { return store.apps.Load() >= loops })
	if n := store.due.Load(); n != 0 {
		t.Errorf("without an App, %d questions for work", n)
	}
	if n := store.apps.Load(); n != loops {
		t.Errorf("%d questions for an App by %d loops that nobody woke", n, loops)
	}
	w.setApp()
	w.eventually("the loops to work once there is an App", func() bool { return store.due.Load() >= loops-1 })
}
