package client

import (
	"context"
	"time"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// Upload is one archive of a version.
type Upload struct {
	Version  module.Version  `json:"version"`
	Platform module.Platform `json:"platform"`
	Tags     []string        `json:"tags,omitempty"`
}

// ModuleEvent is one thing that somebody did to a module.
type ModuleEvent struct {
	At    time.Time `json:"at"`
	Actor string    `json:"actor"`
	// Action is visibility, deprecated, undeprecated or deleted; later farms may know more.
	Action string `json:"action"`
	// Version is zero for the module as a whole.
	Version module.Version `json:"version,omitzero"`
	Detail  string         `json:"detail,omitempty"`
}

// Deprecate marks a module, or with a version one version of it, as one that nobody should choose any
// more. The message says why, and what to use instead.
func (c *Client) Deprecate(ctx context.Context, id module.ID, v module.Version, message string) error {
	_, err := c.reg.DeprecateModule(ctx, &modfarmv1.DeprecateModuleRequest{ModuleId: id.String(), Version: v.String(), Message: message})
	return c.fromRPC(ctx, err)
}

// Undeprecate takes a deprecation back.
func (c *Client) Undeprecate(ctx context.Context, id module.ID, v module.Version) error {
	_, err := c.reg.UndeprecateModule(ctx, &modfarmv1.UndeprecateModuleRequest{ModuleId: id.String(), Version: v.String()})
	return c.fromRPC(ctx, err)
}

// Delete removes a module, with a version one version of it, and with a platform one platform of that. It
// returns what is gone. What is in use wraps module.ErrConflict.
func (c *Client) Delete(ctx context.Context, id module.ID, v module.Version, p module.Platform) ([]Upload, error) {
	res, err := c.reg.DeleteModule(ctx, &modfarmv1.DeleteModuleRequest{ModuleId: id.String(), Version: v.String(), Platform: p.String()})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	var r reader
	gone := make([]Upload, 0, len(res.GetReleases()))
	for _, rel := range res.GetReleases() {
		gone = append(gone, Upload{
			Version:  parse(&r, "a version", rel.GetVersion(), module.ParseVersion),
			Platform: parse(&r, "a platform", rel.GetPlatform(), module.ParsePlatform), Tags: rel.GetTags(),
		})
	}
	return gone, r.err
}

// Releases lists the archives of a version, or with the zero version all of a module, ascending.
func (c *Client) Releases(ctx context.Context, id module.ID, v module.Version) ([]module.Release, error) {
	res, err := c.reg.ListReleases(ctx, &modfarmv1.ListReleasesRequest{ModuleId: id.String(), Version: v.String()})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	var r reader
	releases := make([]module.Release, 0, len(res.GetReleases()))
	for _, rel := range res.GetReleases() {
		if got := r.release(rel); got != nil {
			releases = append(releases, *got)
		}
	}
	return releases, r.err
}

// ModuleEvents tells who did what to a module of the key's organization, the newest first; at most limit,
// or as many as the farm likes when that is 0.
func (c *Client) ModuleEvents(ctx context.Context, id module.ID, limit int) ([]ModuleEvent, error) {
	res, err := c.reg.ListModuleEvents(ctx, &modfarmv1.ListModuleEventsRequest{ModuleId: id.String(), Limit: int32(min(limit, 1000))}) //nolint:gosec // bounded
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	var r reader
	events := make([]ModuleEvent, 0, len(res.GetEvents()))
	for _, e := range res.GetEvents() {
		events = append(events, ModuleEvent{
			At: moment(e.GetAt()), Actor: e.GetActor(), Action: e.GetAction(),
			Version: parse(&r, "a version", e.GetVersion(), module.ParseVersion), Detail: e.GetDetail(),
		})
	}
	return events, r.err
}
