package farm_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
)

// clock stands still until it is advanced.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// modules knows acme:widget and friends, under their namespace and their organization.
type modules struct{}

func (modules) Lookup(_ context.Context, id module.ID) (module.ID, string, error) {
	switch id.Namespace {
	case "acme", orgID:
		return module.ID{Namespace: "acme", Name: id.Name}, orgID, nil
	case "other":
		return id, "another-org", nil
	}
	return module.ID{}, "", module.ErrNotFound
}

// sealer is visible sealing: what is stored must not be the plain token.
type sealer struct{}

func (sealer) Seal(plain []byte) ([]byte, error) { return append([]byte("sealed:"), plain...), nil }

func (sealer) Open(sealed []byte) ([]byte, error) {
	plain, ok := strings.CutPrefix(string(sealed), "sealed:")
	if !ok {
		return nil, fmt.Errorf("not sealed")
	}
	return []byte(plain), nil
}

// source is a repository that can be told to fail.
type source struct {
	mu       sync.Mutex
	refs     map[string]string
	files    map[string]string
	err      error
	resolved int
}

func (s *source) set(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *source) Resolve(_ context.Context, _, ref, token string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resolved++
	if s.err != nil {
		return "", s.err
	}
	if token != "checkout-secret" {
		return "", fmt.Errorf("%w: token %q", module.ErrForbidden, token)
	}
	commit, ok := s.refs[ref]
	if !ok {
		return "", fmt.Errorf("%w: the repository has no ref %q; push the tag first", module.ErrNotFound, ref)
	}
	return commit, nil
}

func (s *source) ReadFiles(_ context.Context, _, commit, _ string, paths []string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if len(commit) != 40 {
		return nil, fmt.Errorf("%w: commit %q", module.ErrNotFound, commit)
	}
	found := map[string][]byte{}
	for _, p := range paths {
		if text, ok := s.files[p]; ok {
			found[p] = []byte(text)
		}
	}
	return found, nil
}

// publisher keeps releases in memory, by the registry's rules.
type publisher struct {
	mu       sync.Mutex
	releases map[string]module.Release
	calls    [][]module.Release
	err      error
}

func key(id module.ID, v module.Version, p module.Platform) string {
	return id.String() + " " + v.String() + " " + p.String()
}

func (p *publisher) set(change func(*publisher)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *publisher) Publish(_ context.Context, releases []module.Release) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	for _, rel := range releases {
		old, ok := p.releases[key(rel.ID, rel.Version, rel.Platform)]
		if ok && (old.SHA256 != rel.SHA256 || old.Commit != rel.Commit) {
			return fmt.Errorf("%w: %s exists with other contents", module.ErrConflict, rel.Version)
		}
	}
	p.calls = append(p.calls, releases)
	for _, rel := range releases {
		p.releases[key(rel.ID, rel.Version, rel.Platform)] = rel
	}
	return nil
}

func (p *publisher) Find(_ context.Context, id module.ID, v module.Version, pl module.Platform) (module.Release, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rel, ok := p.releases[key(id, v, pl)]
	if !ok {
		return module.Release{}, module.ErrNotFound
	}
	return rel, nil
}

// bell counts.
type bell struct {
	mu        sync.Mutex
	rung      []string
	cancelled []string
	err       error
}

func (b *bell) Ring(_ context.Context, p module.Platform, _ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung = append(b.rung, p.String())
	return b.err
}

func (b *bell) Cancel(_ context.Context, jobID string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancelled = append(b.cancelled, jobID)
	return b.err
}

func (b *bell) NotifyLog(context.Context, string) error { return b.err }

func (b *bell) WatchLog(context.Context, string) (<-chan struct{}, error) { return nil, b.err }

// take returns what was rung since the last call.
func (b *bell) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	rung := b.rung
	b.rung = nil
	return rung
}
