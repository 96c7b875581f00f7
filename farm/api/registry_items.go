package api

import (
	"context"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// GetRegistryItem returns a module as a person looks at it.
func (a appService) GetRegistryItem(ctx context.Context, req *appv1.GetRegistryItemRequest) (*appv1.GetRegistryItemResponse, error) {
	p, err := caller(ctx, account.RoleMachine) // as for GetModule
	if err != nil {
		return nil, err
	}
	id, err := itemID(req.GetItemId())
	if err != nil {
		return nil, err
	}
	m, err := a.registry.Module(ctx, viewer(p), id)
	if err != nil {
		return nil, err
	}
	versions, err := a.registry.Versions(ctx, viewer(p), id)
	if err != nil {
		return nil, err
	}
	usage, err := a.registry.Usage(ctx, []string{m.Key})
	if err != nil {
		return nil, err
	}
	found := registry.Found{Module: m, Versions: versions, Usage: usage[m.Key]}
	return &appv1.GetRegistryItemResponse{Item: itemTo(found, req.GetIncludeMarkdownDocumentation())}, nil
}

// ListRegistryItems lists a page of modules by name. The answer has no field for the next page's token:
// that is the item_id of its last item, and a page that is not full is the last.
func (a appService) ListRegistryItems(ctx context.Context, req *appv1.ListRegistryItemsRequest) (*appv1.ListRegistryItemsResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	filter, some, err := filterFrom(req)
	if err != nil || !some {
		return &appv1.ListRegistryItemsResponse{}, err
	}
	found, err := a.registry.Search(ctx, viewer(p), filter)
	if err != nil {
		return nil, err
	}
	res := &appv1.ListRegistryItemsResponse{}
	for _, m := range found {
		res.Items = append(res.Items, itemTo(m, req.GetIncludeMarkdownDocumentation()))
	}
	return res, nil
}

// UpdateRegistryItem changes a module. Without module metadata only what else is in the request changes.
func (a appService) UpdateRegistryItem(ctx context.Context, req *appv1.UpdateRegistryItemRequest) (*appv1.UpdateRegistryItemResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	id, err := itemID(req.GetItemId())
	if err != nil {
		return nil, err
	}
	if err := checkItemUpdate(req); err != nil {
		return nil, err
	}
	_, err = a.registry.ChangeModule(ctx, p.Org.ID, id, actor(p), func(m *registry.Module) { changeBy(m, req) })
	if err != nil {
		return nil, err
	}
	return &appv1.UpdateRegistryItemResponse{}, nil
}

func itemID(s string) (module.ID, error) {
	id, err := module.ParseID(s)
	return id, at("item_id", err)
}

// isModule says whether a kind of package is what this registry lists; unset means all kinds.
func isModule(t packagesv1.PackageType) bool {
	return t == packagesv1.PackageType_PACKAGE_TYPE_MODULE || t == packagesv1.PackageType_PACKAGE_TYPE_UNSPECIFIED
}

func checkItemUpdate(req *appv1.UpdateRegistryItemRequest) error {
	var faults module.Faults
	if t := req.GetType(); !isModule(t) {
		faults = append(faults, module.Fault{Path: "type", Value: t.String(), Problem: "not a kind of item that this registry has", Advice: "use PACKAGE_TYPE_MODULE"})
	}
	if req.GetMetadata() != nil && req.GetUpdateModuleMetadata() == nil {
		faults = append(faults, module.Fault{Path: "metadata", Problem: "not a module's", Advice: "send update_module_metadata"})
	}
	if l := req.GetUpdateModuleMetadata().GetLanguage(); languageFrom(l) == "" && l != appv1.ModuleLanguage_MODULE_LANGUAGE_UNSPECIFIED {
		faults = append(faults, module.Fault{Path: "update_module_metadata.language", Value: l.String(), Problem: "not a language that this farm knows", Advice: "use golang, python or cpp"})
	}
	if t := req.GetUpdateModuleMetadata().GetSourceType(); sourceTypeFrom(t) == "" && t != appv1.ModuleSourceType_MODULE_SOURCE_TYPE_UNSPECIFIED {
		faults = append(faults, module.Fault{Path: "update_module_metadata.source_type", Value: t.String(), Problem: "not a type of source that this farm knows", Advice: "use external or viam_hosted"})
	}
	return faults.Err()
}

// changeBy applies what the request sets.
func changeBy(m *registry.Module, req *appv1.UpdateRegistryItemRequest) {
	meta := &m.Metadata
	meta.Description = req.GetDescription()
	if v := visibilityFrom(req.GetVisibility()); v != "" {
		m.Visibility = v
	}
	if req.Url != nil {
		meta.URL = req.GetUrl()
	}
	if req.MarkdownDescription != nil {
		meta.Markdown = req.GetMarkdownDescription()
	}
	u := req.GetUpdateModuleMetadata()
	if u == nil {
		return
	}
	meta.Models, meta.Entrypoint, meta.Apps = modelsFrom(u.GetModels()), u.GetEntrypoint(), appsFrom(u.GetApps())
	if u.Language != nil {
		meta.Language = languageFrom(u.GetLanguage())
	}
	if u.SourceType != nil {
		meta.SourceType = sourceTypeFrom(u.GetSourceType())
	}
	if u.MinViamServerVersion != nil {
		meta.MinServerVersion = u.GetMinViamServerVersion()
	}
}

// filterFrom reads a request; some is false when it asks for kinds of items that this registry has none of.
func filterFrom(req *appv1.ListRegistryItemsRequest) (f registry.Filter, some bool, err error) {
	some = len(req.GetTypes()) == 0
	for _, t := range req.GetTypes() {
		some = some || isModule(t)
	}
	f = registry.Filter{
		Term: req.GetSearchTerm(), OrgID: req.GetOrganizationId(), Namespaces: req.GetPublicNamespaces(), OwnDeprecated: req.GetShowOwnedDeprecated(),
	}
	var faults faultList
	for _, v := range req.GetVisibilities() {
		if visibility := visibilityFrom(v); visibility != "" {
			f.Visibilities = append(f.Visibilities, visibility)
		}
	}
	for i, text := range req.GetPlatforms() {
		platform, err := module.ParsePlatform(text)
		faults.add(at(indexed("platforms", i), err))
		f.Platforms = append(f.Platforms, platform)
	}
	for _, l := range req.GetModuleLanguages() {
		if l != appv1.ModuleLanguage_MODULE_LANGUAGE_UNSPECIFIED {
			f.Languages = append(f.Languages, languageFrom(l))
		}
	}
	for _, t := range req.GetModuleSourceTypes() {
		if t != appv1.ModuleSourceType_MODULE_SOURCE_TYPE_UNSPECIFIED {
			f.SourceTypes = append(f.SourceTypes, sourceTypeFrom(t))
		}
	}
	f.Published = publishedFrom(req.GetStatuses())
	if token := req.GetPageToken(); token != "" {
		f.After, err = module.ParseID(token)
		if err != nil {
			faults.add(module.Fault{Path: "page_token", Value: token, Problem: "not a page", Advice: "send the item_id of the last item of the page before"})
		}
	}
	return f, some, faults.Err()
}

// publishedFrom is nil when the statuses do not narrow.
func publishedFrom(statuses []appv1.RegistryItemStatus) *bool {
	var published, not bool
	for _, s := range statuses {
		switch s {
		case appv1.RegistryItemStatus_REGISTRY_ITEM_STATUS_PUBLISHED:
			published = true
		case appv1.RegistryItemStatus_REGISTRY_ITEM_STATUS_IN_DEVELOPMENT:
			not = true
		case appv1.RegistryItemStatus_REGISTRY_ITEM_STATUS_UNSPECIFIED:
			published, not = true, true
		}
	}
	if published == not {
		return nil
	}
	return &published
}
