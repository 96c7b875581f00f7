package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
)

// Module is a module of the registry.
type Module struct {
	// Key is the row's UUID; it survives a new namespace. It is not shown.
	Key string
	// OrgID is the organization that owns the module.
	OrgID string
	// Namespace is that organization's public namespace, or empty.
	Namespace string
	// Name is unique in the organization without regard to case.
	Name string
	// Visibility is who may see the module.
	Visibility module.Visibility
	// Metadata is the current metadata; uploads freeze it into their version.
	Metadata Metadata
	// Deprecated tells since when and why nobody should choose the module; zero
	// for the most part.
	Deprecated Deprecation
	// CreatedAt and UpdatedAt are in UTC.
	CreatedAt, UpdatedAt time.Time
}

// ID is the module's id: under the namespace, or under the organization's id
// while it has none.
func (m Module) ID() module.ID {
	if m.Namespace != "" {
		return module.ID{Namespace: m.Namespace, Name: m.Name}
	}
	return module.ID{Namespace: m.OrgID, Name: m.Name}
}

// Update is a complete new metadata of a module, as UpdateModule of the wire
// sends it.
type Update struct {
	// By is who asks, for the module's events.
	By string
	// Visibility is the new visibility; empty leaves it.
	Visibility module.Visibility
	// Metadata replaces the current one, but for Markdown and Traits.
	Metadata Metadata
	// Markdown replaces the long description; nil leaves it.
	Markdown *string
}

// CreateModule makes an empty private module. The name must have 1 to 200
// letters, digits, - and _ and begin with a letter or digit (module.ErrInvalid);
// one that the organization has already wraps module.ErrConflict.
func (r *Registry) CreateModule(ctx context.Context, orgID, name string) (Module, error) {
	if faults := checkModuleName(name); len(faults) > 0 {
		return Module{}, faults
	}
	if uuid.Validate(orgID) != nil {
		return Module{}, noOrg(orgID)
	}
	now := r.now()
	m := Module{
		Key: uuid.NewString(), OrgID: orgID, Name: name,
		Visibility: module.VisibilityPrivate, CreatedAt: now, UpdatedAt: now,
	}
	created, err := r.Store.CreateModule(ctx, m)
	switch {
	case errors.Is(err, module.ErrConflict):
		return Module{}, fmt.Errorf("%w: your organization has a module %q already: go on with that one, or choose another name", module.ErrConflict, name)
	case errors.Is(err, module.ErrNotFound):
		return Module{}, noOrg(orgID)
	case err != nil:
		return Module{}, fmt.Errorf("create module %q: %w", name, err)
	}
	return created, nil
}

func noOrg(id string) error {
	return fmt.Errorf("%w: organization %q: take an id from the list of your organizations", module.ErrNotFound, id)
}

// Module finds a module by namespace or by organization id. One that the viewer
// may not see is not found, in the same words as one that does not exist.
func (r *Registry) Module(ctx context.Context, viewer Viewer, id module.ID) (Module, error) {
	m, err := r.Store.Module(ctx, id)
	switch {
	case errors.Is(err, module.ErrNotFound):
		return Module{}, noModule(id)
	case err != nil:
		return Module{}, fmt.Errorf("look up module %q: %w", id, err)
	case !viewer.sees(m):
		return Module{}, noModule(id)
	}
	return m, nil
}

func noModule(id module.ID) error {
	return fmt.Errorf("%w: module %q: check the id, or create it with `modfarm module create %s`", module.ErrNotFound, id, id)
}

// Modules lists an organization's own modules by name, private ones included.
func (r *Registry) Modules(ctx context.Context, orgID string) ([]Module, error) {
	modules, err := r.Store.Modules(ctx, orgID)
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	return modules, nil
}

// OwnModule is Module for a caller that is about to change it: a public module
// of another organization wraps module.ErrForbidden.
func (r *Registry) OwnModule(ctx context.Context, orgID string, id module.ID) (Module, error) {
	m, err := r.Module(ctx, ForOrg(orgID), id)
	if err != nil {
		return Module{}, err
	}
	if m.OrgID != orgID {
		return Module{}, fmt.Errorf("%w: module %q belongs to another organization: use a key of that one", module.ErrForbidden, id)
	}
	return m, nil
}

// UpdateModule replaces the metadata of a module of the organization. Everything
// wrong with it comes back at once as module.Faults and nothing is changed then.
func (r *Registry) UpdateModule(ctx context.Context, orgID string, id module.ID, u Update) (Module, error) {
	return r.ChangeModule(ctx, orgID, id, u.By, func(m *Module) { *m = m.applied(u) })
}

// ChangeModule is UpdateModule for callers that change only some of a module's
// visibility and metadata. A module that other organizations use cannot become
// private, which wraps module.ErrConflict.
func (r *Registry) ChangeModule(ctx context.Context, orgID string, id module.ID, by string, change func(*Module)) (Module, error) {
	m, err := r.OwnModule(ctx, orgID, id)
	if err != nil {
		return Module{}, err
	}
	usage, err := r.usageOf(ctx, m)
	if err != nil {
		return Module{}, err
	}
	updated, err := r.Store.UpdateModule(ctx, m.Key, func(m *Module) ([]Event, error) {
		next := *m
		change(&next)
		if err := checkModule(next).Err(); err != nil {
			return nil, err
		}
		now := r.now()
		var events []Event
		if next.Visibility != m.Visibility {
			if next.Visibility == module.VisibilityPrivate && usage.OtherOrgs > 0 {
				return nil, stillUsed(usage)
			}
			events = append(events, newEvent(now, by, ActionVisibility, module.Version{}, fmt.Sprintf("%s to %s", m.Visibility, next.Visibility)))
		}
		next.UpdatedAt = now
		*m = next
		return events, nil
	})
	if err != nil {
		return Module{}, fmt.Errorf("update module %q: %w", id, err)
	}
	return updated, nil
}

// stillUsed is why a module stays visible.
func stillUsed(u Usage) error {
	return fmt.Errorf("%w: visibility: %q: %s fetched the module within %d days and would lose it; keep it public_unlisted, or deprecate it so that they move on",
		module.ErrConflict, module.VisibilityPrivate, otherOrgs(u.OtherOrgs), days(usedWithin))
}

// applied is the module as the update would leave it.
func (m Module) applied(u Update) Module {
	markdown := m.Metadata.Markdown
	if u.Markdown != nil {
		markdown = *u.Markdown
	}
	if u.Visibility != "" {
		m.Visibility = u.Visibility
	}
	traits := m.Metadata.Traits
	m.Metadata = u.Metadata
	m.Metadata.Markdown, m.Metadata.Traits = markdown, traits
	return m
}
