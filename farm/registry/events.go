package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

// Action is what an Event is about.
type Action string

// The actions. Publishing is none: a release says itself when and from where.
const (
	ActionVisibility   Action = "visibility"
	ActionDeprecated   Action = "deprecated"
	ActionUndeprecated Action = "undeprecated"
	ActionDeleted      Action = "deleted"
)

// Event is one thing that somebody did to a module. Events are never changed.
type Event struct {
	// ID is a UUID.
	ID string
	// At is when, in UTC.
	At time.Time
	// Actor is who, as the caller of the registry names them.
	Actor string
	// Action is what.
	Action Action
	// Version is zero for the module as a whole.
	Version module.Version
	// Detail is one line for people; may be empty.
	Detail string
}

func newEvent(at time.Time, actor string, action Action, v module.Version, detail string) Event {
	return Event{ID: uuid.NewString(), At: at, Actor: actor, Action: action, Version: v, Detail: detail}
}

const (
	defaultEvents = 100
	maxEvents     = 1000
)

// Events returns what was done to a module of the organization, the newest
// first: at most limit, or 100 when that is not positive, and never over 1000.
func (r *Registry) Events(ctx context.Context, orgID string, id module.ID, limit int) ([]Event, error) {
	m, err := r.OwnModule(ctx, orgID, id)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = defaultEvents
	}
	events, err := r.Store.Events(ctx, m.Key, min(limit, maxEvents))
	if err != nil {
		return nil, fmt.Errorf("list events of %q: %w", id, err)
	}
	return events, nil
}
