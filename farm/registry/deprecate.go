package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/modfarm/modfarm/module"
)

// Deprecation says that nobody should choose a module or a version any more. The
// zero value is none.
type Deprecation struct {
	// At is when, in UTC.
	At time.Time
	// Why is one line for people: the reason, and what to use instead.
	Why string
}

// IsZero reports whether there is no deprecation.
func (d Deprecation) IsZero() bool { return d.At.IsZero() }

// maxWhy bounds the message of a deprecation, in characters.
const maxWhy = 1000

// Deprecate marks a module of the organization, or with a version one version of
// it, as deprecated: it is no longer offered, and downloads all the same. Again
// replaces the message. by is who asks.
func (r *Registry) Deprecate(ctx context.Context, orgID string, id module.ID, v module.Version, by, why string) (Deprecation, error) {
	why = strings.TrimSpace(why)
	if err := checkWhy(why); err != nil {
		return Deprecation{}, err
	}
	now := r.now()
	d := Deprecation{At: now, Why: why}
	return d, r.deprecate(ctx, orgID, id, v, d, newEvent(now, by, ActionDeprecated, v, why))
}

// Undeprecate takes a deprecation back. What is not deprecated stays as it is.
func (r *Registry) Undeprecate(ctx context.Context, orgID string, id module.ID, v module.Version, by string) error {
	return r.deprecate(ctx, orgID, id, v, Deprecation{}, newEvent(r.now(), by, ActionUndeprecated, v, ""))
}

func (r *Registry) deprecate(ctx context.Context, orgID string, id module.ID, v module.Version, d Deprecation, e Event) error {
	m, err := r.OwnModule(ctx, orgID, id)
	if err != nil {
		return err
	}
	if v.IsZero() {
		_, err = r.Store.UpdateModule(ctx, m.Key, func(m *Module) ([]Event, error) {
			m.Deprecated, m.UpdatedAt = d, e.At
			return []Event{e}, nil
		})
	} else {
		err = r.Store.Deprecate(ctx, m.Key, v, d, e)
		if errors.Is(err, module.ErrNotFound) {
			return r.noSuchVersion(ctx, m, v)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s %s: %w", e.Action, id, v, err)
	}
	return nil
}

// noSuchVersion says which versions a module has instead.
func (r *Registry) noSuchVersion(ctx context.Context, m Module, v module.Version) error {
	releases, err := r.releases(ctx, m)
	if err != nil {
		return err
	}
	return noVersion(m.ID(), v.String(), releases)
}

func checkWhy(why string) error {
	fault := func(problem, advice string) error {
		return module.Fault{Path: "message", Value: why, Problem: problem, Advice: advice}
	}
	switch {
	case why == "":
		return fault("empty", "say why, and what to use instead")
	case utf8.RuneCountInString(why) > maxWhy:
		return fault(fmt.Sprintf("%d characters long", utf8.RuneCountInString(why)), fmt.Sprintf("use at most %d", maxWhy))
	case !utf8.ValidString(why) || strings.ContainsFunc(why, unicode.IsControl):
		return fault("not one line of text", "write one line in UTF-8, without control characters")
	}
	return nil
}
