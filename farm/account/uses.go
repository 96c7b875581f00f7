package account

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// usePrecision is how exactly the last use of a key is known: a key in constant
	// use costs one row a minute, however many requests it makes.
	usePrecision = time.Minute
	// useFlush is how often what was noted is stored, all of it at once.
	useFlush = 10 * time.Second
)

// uses are the last uses of keys that are not stored yet. There is at most one for
// each key that exists.
type uses struct {
	mu sync.Mutex
	at map[string]time.Time
}

// note remembers that a key was used, unless that is known well enough.
func (u *uses) note(key Key, now time.Time) {
	if now.Sub(key.UsedAt) < usePrecision {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = map[string]time.Time{}
	}
	u.at[key.ID] = now
}

func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := u.at
	u.at = nil
	return at
}

// Run stores now and then when keys were last used, until ctx ends, and once more
// then, and removes the keys of workflow runs that have expired. What cannot be stored is logged and forgotten: it is for people to look at.
func (a *Accounts) Run(ctx context.Context) error {
	tick := time.NewTicker(useFlush)
	defer tick.Stop()
	expired := time.NewTicker(collectEvery)
	defer expired.Stop()
	for {
		select {
		case <-tick.C:
			a.flushUses(ctx)
		case <-expired.C:
			a.collect(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), useFlush)
			defer cancel()
			a.flushUses(last)
			return nil
		}
	}
}

func (a *Accounts) flushUses(ctx context.Context) {
	at := a.used.take()
	if len(at) == 0 {
		return
	}
	if err := a.Store.UseKeys(ctx, at); err != nil {
		a.log().WarnContext(ctx, "the last use of keys is not stored", "keys", len(at), "error", err)
	}
}

func (a *Accounts) log() *slog.Logger {
	if a.Log != nil {
		return a.Log
	}
	return slog.New(slog.DiscardHandler)
}
