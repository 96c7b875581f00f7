package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/modfarm/modfarm/module"
)

// ResolveStore reads what resolving needs, and no more: every machine asks every
// few seconds. What another call stored before is seen.
type ResolveStore interface {
	// Resolvable finds a module as Module does, without metadata and times.
	Resolvable(ctx context.Context, id module.ID) (Module, error)
	// Uploads returns all uploads of a module, in no special order.
	Uploads(ctx context.Context, key string) ([]module.Upload, error)
	// Release returns the release of an upload of a module.
	Release(ctx context.Context, key string, u module.Upload) (module.Release, error)
}

// maxMachineTags bounds the work of one question.
const maxMachineTags = 100

// Wish is a question for an upload.
type Wish struct {
	ID       module.ID
	Selector module.Selector
	Machine  module.Machine
}

// Resolved is the answer to a Wish.
type Resolved struct {
	// ID is the module's own id, however it was asked for.
	ID module.ID
	// Resolution has the reasons.
	Resolution module.Resolution
	// Release is what the machine gets; nil when nothing fits.
	Release *module.Release
	// Warnings are what to know before using it.
	Warnings []string
}

// Err is nil when there is a release, and otherwise wraps module.ErrNotFound and
// says why nothing fits.
func (r Resolved) Err() error { return r.Resolution.Err(r.ID) }

// Resolve says which upload a machine gets; docs/resolving.md has the rules. That
// nothing fits is no error here: see Resolved.Err. A module that the viewer may not
// see is not found.
func (r *Registry) Resolve(ctx context.Context, viewer Viewer, wish Wish) (Resolved, error) {
	if err := checkMachine(wish.Machine).Err(); err != nil {
		return Resolved{}, err
	}
	m, err := r.Store.Resolvable(ctx, wish.ID)
	switch {
	case errors.Is(err, module.ErrNotFound):
		return Resolved{}, noModule(wish.ID)
	case err != nil:
		return Resolved{}, fmt.Errorf("look up module %q: %w", wish.ID, err)
	case !viewer.sees(m):
		return Resolved{}, noModule(wish.ID)
	}
	for attempt := 1; ; attempt++ {
		answer, err := r.resolve(ctx, m, wish)
		// An upload that is deleted between two reads is no answer: what is left is.
		if !errors.Is(err, module.ErrNotFound) || attempt == maxResolves {
			return answer, err
		}
	}
}

// maxResolves is how often resolving begins again because of deletions.
const maxResolves = 5

func (r *Registry) resolve(ctx context.Context, m Module, wish Wish) (Resolved, error) {
	uploads, err := r.Store.Uploads(ctx, m.Key)
	if err != nil {
		return Resolved{}, fmt.Errorf("list uploads of %q: %w", m.ID(), err)
	}
	answer := Resolved{ID: m.ID(), Resolution: module.Resolve(uploads, wish.Selector, wish.Machine)}
	taken, ok := answer.Resolution.Taken()
	if !ok {
		return answer, nil
	}
	rel, err := r.Store.Release(ctx, m.Key, taken)
	if err != nil {
		return Resolved{}, fmt.Errorf("look up %s of %q: %w", taken, m.ID(), err)
	}
	answer.Release = &rel
	if !m.Deprecated.IsZero() {
		answer.Warnings = append(answer.Warnings, fmt.Sprintf("module %s is deprecated: %s", m.ID(), m.Deprecated.Why))
	}
	if warning := taken.Warning(); warning != "" {
		answer.Warnings = append(answer.Warnings, warning)
	}
	return answer, nil
}

func checkMachine(m module.Machine) module.Faults {
	var faults module.Faults
	switch {
	case m.Platform.IsZero():
		faults = append(faults, module.Fault{Path: "platform", Problem: "missing", Advice: "name the machine's, such as linux/arm64"})
	case m.Platform.IsWildcard():
		faults = append(faults, module.Fault{
			Path: "platform", Value: m.Platform.String(), Problem: "a wildcard, and a machine has one platform",
			Advice: "name the machine's, such as linux/arm64; uploads for " + m.Platform.String() + " are found for it",
		})
	}
	if len(m.Tags) > maxMachineTags {
		faults = append(faults, module.Fault{
			Path: "tags", Problem: fmt.Sprintf("%d tags", len(m.Tags)), Advice: fmt.Sprintf("send at most %d", maxMachineTags),
		})
		return faults
	}
	return append(faults, CheckTags("tags", m.Tags)...)
}
