package client

import (
	"context"
	"slices"
	"time"

	"github.com/modfarm/modfarm/module"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// ModuleInfo is a module as the registry shows it. Its JSON, and that of what it holds, is what the
// command line prints with --json: names are added, and never change.
type ModuleInfo struct {
	ID          module.ID         `json:"id"`
	OrgID       string            `json:"org_id"`
	Visibility  module.Visibility `json:"visibility"`
	URL         string            `json:"url,omitempty"`
	Description string            `json:"description,omitempty"`
	Entrypoint  string            `json:"entrypoint,omitempty"`
	FirstRun    string            `json:"first_run,omitempty"`
	Models      []ModelInfo       `json:"models,omitempty"`
	// Deprecated is nil for a module that may be chosen.
	Deprecated *Deprecation `json:"deprecated,omitempty"`
	// Usage is who fetched something of the module within 30 days.
	Usage Usage `json:"usage"`
	// CreatedAt and UpdatedAt are zero where a farm was not asked for them.
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	// Versions ascend.
	Versions []VersionInfo `json:"versions"`
}

// ModelInfo is one model that a module serves.
type ModelInfo struct {
	API         string `json:"api"`
	Model       string `json:"model"`
	Description string `json:"description,omitempty"`
}

// Usage counts who uses a module.
type Usage struct {
	Machines           int `json:"machines"`
	Organizations      int `json:"organizations"`
	OtherMachines      int `json:"other_machines"`
	OtherOrganizations int `json:"other_organizations"`
}

// Deprecation says that nobody should choose something any more.
type Deprecation struct {
	At      time.Time `json:"at"`
	Message string    `json:"message"`
}

// VersionInfo is one version of a module.
type VersionInfo struct {
	Version    module.Version    `json:"version"`
	Entrypoint string            `json:"entrypoint,omitempty"`
	Platforms  []module.Platform `json:"platforms"`
	// PublishedAt is when the last of its archives came.
	PublishedAt time.Time `json:"published_at,omitzero"`
	// Deprecated is nil for a version that may be chosen.
	Deprecated *Deprecation `json:"deprecated,omitempty"`
}

// Latest is the version that somebody should choose who names none: the highest that is neither a
// pre-release nor deprecated, or else the highest that is not deprecated. It is zero when there is none.
func (m ModuleInfo) Latest() module.Version { return m.LatestFor(module.Platform{}) }

// LatestFor is the Latest of the versions that have an upload for a platform, or for any.
func (m ModuleInfo) LatestFor(p module.Platform) module.Version {
	var latest module.Version
	for _, v := range m.Versions { // ascending
		if !p.IsZero() && !slices.ContainsFunc(v.Platforms, func(has module.Platform) bool { return has.Covers(p) }) {
			continue
		}
		if v.Deprecated == nil && (latest.IsZero() || latest.IsPrerelease() || !v.Version.IsPrerelease()) {
			latest = v.Version
		}
	}
	return latest
}

// Module returns a module with its versions.
func (c *Client) Module(ctx context.Context, id module.ID) (ModuleInfo, error) {
	res, err := c.app.GetRegistryItem(ctx, &appv1.GetRegistryItemRequest{ItemId: id.String()})
	if err != nil {
		return ModuleInfo{}, c.fromRPC(ctx, err)
	}
	var r reader
	info := r.item(res.GetItem())
	return info, r.err
}

// Modules lists the modules of the key's organization by name, private ones included.
func (c *Client) Modules(ctx context.Context) ([]ModuleInfo, error) {
	res, err := c.app.ListModules(ctx, &appv1.ListModulesRequest{})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	var r reader
	modules := make([]ModuleInfo, 0, len(res.GetModules()))
	for _, p := range res.GetModules() {
		modules = append(modules, r.module(p))
	}
	return modules, r.err
}

// Filter says which modules to search for. Zero fields do not narrow.
type Filter struct {
	// Term is words; each must begin a word of the module's namespace, name, description or models.
	Term string
	// Namespaces, Visibilities and Platforms keep modules that have one of each.
	Namespaces   []string
	Visibilities []module.Visibility
	Platforms    []module.Platform
	// Deprecated adds the deprecated modules of the key's organization.
	Deprecated bool
	// Limit bounds the answer; 0 does not.
	Limit int
}

// Search lists modules by name: those of the key's organization and all that are public. Their versions
// are without entrypoints. It asks for as many pages as it takes.
func (c *Client) Search(ctx context.Context, f Filter) ([]ModuleInfo, error) {
	req := &appv1.ListRegistryItemsRequest{
		SearchTerm: optional(f.Term), PublicNamespaces: f.Namespaces, Platforms: platformNames(f.Platforms), ShowOwnedDeprecated: &f.Deprecated,
	}
	for _, v := range f.Visibilities {
		req.Visibilities = append(req.Visibilities, visibilityTo(v))
	}
	var found []ModuleInfo
	for {
		res, err := c.app.ListRegistryItems(ctx, req)
		if err != nil {
			return nil, c.fromRPC(ctx, err)
		}
		var r reader
		for _, item := range res.GetItems() {
			found = append(found, r.item(item))
		}
		switch {
		case r.err != nil:
			return nil, r.err
		case f.Limit > 0 && len(found) >= f.Limit:
			return found[:f.Limit], nil
		case len(res.GetItems()) == 0:
			return found, nil
		}
		last := found[len(found)-1].ID.String()
		req.PageToken = &last
	}
}

func (r *reader) item(p *appv1.RegistryItem) ModuleInfo {
	meta := p.GetModuleMetadata()
	info := ModuleInfo{
		ID: parse(r, "a module id", p.GetItemId(), module.ParseID), OrgID: p.GetOrganizationId(),
		Visibility: visibilityFrom(p.GetVisibility()), URL: p.GetUrl(), Description: p.GetDescription(),
		Entrypoint: meta.GetEntrypoint(), FirstRun: meta.GetFirstRun(), Models: modelsFrom(meta.GetModels()),
		Deprecated: deprecationFrom(p.GetDeprecatedStatus()),
		Usage: Usage{
			Machines: int(p.GetTotalRobotUsage()), Organizations: int(p.GetTotalOrganizationUsage()),
			OtherMachines: int(p.GetTotalExternalRobotUsage()), OtherOrganizations: int(p.GetTotalExternalOrganizationUsage()),
		},
		CreatedAt: moment(p.GetCreatedAt()), UpdatedAt: moment(p.GetUpdatedAt()),
		Versions: make([]VersionInfo, 0, len(meta.GetVersions())),
	}
	for _, v := range meta.GetVersions() {
		info.Versions = append(info.Versions, r.versionInfo(v))
	}
	return info
}

func (r *reader) module(p *appv1.Module) ModuleInfo {
	info := ModuleInfo{
		ID: parse(r, "a module id", p.GetModuleId(), module.ParseID), OrgID: p.GetOrganizationId(),
		Visibility: visibilityFrom(p.GetVisibility()), URL: p.GetUrl(), Description: p.GetDescription(),
		Entrypoint: p.GetEntrypoint(), FirstRun: p.GetFirstRun(), Models: modelsFrom(p.GetModels()),
		Deprecated: deprecationFrom(p.GetDeprecatedStatus()),
		Usage:      Usage{Machines: int(p.GetTotalRobotUsage()), Organizations: int(p.GetTotalOrganizationUsage())},
		Versions:   make([]VersionInfo, 0, len(p.GetVersions())),
	}
	for _, v := range p.GetVersions() {
		info.Versions = append(info.Versions, r.versionInfo(v))
	}
	return info
}

// versionOf is a version in either of the two messages that carry one.
type versionOf interface {
	GetVersion() string
	GetEntrypoint() string
	GetFiles() []*appv1.Uploads
	GetDeprecatedStatus() *appv1.DeprecatedStatus
}

func (r *reader) versionInfo(v versionOf) VersionInfo {
	info := VersionInfo{
		Version: parse(r, "a version", v.GetVersion(), module.ParseVersion), Entrypoint: v.GetEntrypoint(),
		Deprecated: deprecationFrom(v.GetDeprecatedStatus()),
	}
	for _, f := range v.GetFiles() {
		info.Platforms = append(info.Platforms, parse(r, "a platform", f.GetPlatform(), module.ParsePlatform))
		if at := moment(f.GetUploadedAt()); at.After(info.PublishedAt) {
			info.PublishedAt = at
		}
	}
	return info
}

func modelsFrom(models []*appv1.Model) []ModelInfo {
	var out []ModelInfo
	for _, m := range models {
		out = append(out, ModelInfo{API: m.GetApi(), Model: m.GetModel(), Description: m.GetDescription()})
	}
	return out
}

func deprecationFrom(p *appv1.DeprecatedStatus) *Deprecation {
	if p == nil {
		return nil
	}
	return &Deprecation{At: moment(p.GetDeprecatedAt()), Message: p.GetMessage()}
}
