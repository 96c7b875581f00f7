package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// usedWithin is how long something counts as used after it was fetched last. A
	// machine that has a version does not fetch it again, so this is a guess on
	// the careful side and no proof.
	usedWithin = 30 * 24 * time.Hour
	// noteEvery bounds how often the same use is written down.
	noteEvery = time.Hour
	// useTimeout bounds what writing a use down adds to a download.
	useTimeout = 2 * time.Second
	// maxNotes bounds what is remembered of the uses that were written down.
	maxNotes = 100_000
)

// Consumer is who fetches releases.
type Consumer struct {
	// OrgID is the organization of the key.
	OrgID string
	// KeyID is the API key.
	KeyID string
	// Machine says that the key is a machine's, and no person's.
	Machine bool
}

// Use is that somebody fetched an upload.
type Use struct {
	Consumer
	// KeyName is the key's name; empty when the key is gone.
	KeyName string
	// Version and Platform are what was fetched.
	Version  module.Version
	Platform module.Platform
	// At is when that was last, in UTC.
	At time.Time
}

// Usage counts who fetched something of a module within 30 days.
type Usage struct {
	// Machines are the machines' keys, OtherMachines those of them that belong
	// to other organizations than the module.
	Machines, OtherMachines int
	// Orgs are the organizations, OtherOrgs those other than the module's.
	Orgs, OtherOrgs int
}

// Used notes that a consumer fetched a release, for the rules of visibility and
// deletion. It is cheap to call for every download: one use is written down once
// an hour. What cannot be written is logged, as the download itself goes on.
func (r *Registry) Used(ctx context.Context, c Consumer, rel module.Release) {
	now := r.now()
	note := note{c.KeyID, rel.ID, rel.Version, rel.Platform}
	if !r.noted.due(note, now) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	m, err := r.Module(ctx, ForFarm(), rel.ID)
	if err == nil {
		err = r.Store.PutUse(ctx, m.Key, Use{Consumer: c, Version: rel.Version, Platform: rel.Platform, At: now})
	}
	if err != nil {
		r.noted.forget(note)
		r.log().WarnContext(ctx, "a download was not counted", "module", rel.ID, "version", rel.Version, "key_id", c.KeyID, "error", err)
	}
}

// Usage counts who uses each module, given by key. Modules that nobody uses may
// be missing.
func (r *Registry) Usage(ctx context.Context, keys []string) (map[string]Usage, error) {
	usage, err := r.Store.Usage(ctx, keys, r.now().Add(-usedWithin))
	if err != nil {
		return nil, fmt.Errorf("count downloads: %w", err)
	}
	return usage, nil
}

func (r *Registry) usageOf(ctx context.Context, m Module) (Usage, error) {
	usage, err := r.Usage(ctx, []string{m.Key})
	return usage[m.Key], err
}

func days(d time.Duration) int { return int(d / (24 * time.Hour)) }

func otherOrgs(n int) string {
	if n == 1 {
		return "another organization"
	}
	return fmt.Sprintf("%d other organizations", n)
}

// note is one use, without its time.
type note struct {
	keyID    string
	id       module.ID
	version  module.Version
	platform module.Platform
}

// notes are the uses that were written down lately. The zero value is ready.
type notes struct {
	mu sync.Mutex
	at map[note]time.Time
}

// due reports whether a use is to be written down, and takes it for written.
func (n *notes) due(u note, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, ok := n.at[u]; ok && now.Sub(last) < noteEvery {
		return false
	}
	if n.at == nil || len(n.at) >= maxNotes {
		n.at = map[note]time.Time{} // at worst each is written once more
	}
	n.at[u] = now
	return true
}

func (n *notes) forget(u note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.at, u)
}
