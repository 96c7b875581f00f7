package api

import (
	"context"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// CreateModule makes a module in the caller's organization.
func (a appService) CreateModule(ctx context.Context, req *appv1.CreateModuleRequest) (*appv1.CreateModuleResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	if err := ownOrg(p, req.GetOrganizationId()); err != nil {
		return nil, err
	}
	m, err := a.registry.CreateModule(ctx, p.Org.ID, req.GetName())
	if err != nil {
		return nil, err
	}
	return &appv1.CreateModuleResponse{ModuleId: m.ID().String(), Url: m.Metadata.URL}, nil
}

// UpdateModule replaces a module's metadata.
func (a appService) UpdateModule(ctx context.Context, req *appv1.UpdateModuleRequest) (*appv1.UpdateModuleResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	id, err := moduleID(req.GetModuleId())
	if err != nil {
		return nil, err
	}
	m, err := a.registry.UpdateModule(ctx, p.Org.ID, id, updateFrom(p, req))
	if err != nil {
		return nil, err
	}
	return &appv1.UpdateModuleResponse{Url: m.Metadata.URL}, nil
}

// GetModule returns a module with its versions in ascending order.
func (a appService) GetModule(ctx context.Context, req *appv1.GetModuleRequest) (*appv1.GetModuleResponse, error) {
	p, err := caller(ctx, account.RoleMachine)
	if err != nil {
		return nil, err
	}
	id, err := moduleID(req.GetModuleId())
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
	return &appv1.GetModuleResponse{Module: moduleTo(m, versions, usage[m.Key], req.GetIncludeMarkdownDocumentation())}, nil
}

// ListModules lists the modules of the caller's organization. What each version was frozen with is told by GetModule.
func (a appService) ListModules(ctx context.Context, req *appv1.ListModulesRequest) (*appv1.ListModulesResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	if org := req.GetOrganizationId(); org != "" {
		if err := ownOrg(p, org); err != nil {
			return nil, err
		}
	}
	modules, err := a.registry.ModulesFound(ctx, p.Org.ID)
	if err != nil {
		return nil, err
	}
	res := &appv1.ListModulesResponse{}
	for _, m := range modules {
		if !p.Covers(m.ID()) {
			continue
		}
		res.Modules = append(res.Modules, moduleTo(m.Module, m.Versions, m.Usage, req.GetIncludeMarkdownDocumentation()))
	}
	return res, nil
}

// moduleID reads the field module_id of a request.
func moduleID(s string) (module.ID, error) {
	id, err := module.ParseID(s)
	return id, at("module_id", err)
}

// at puts the name of a request's field on a fault.
func at(field string, err error) error {
	fault, ok := err.(module.Fault) //nolint:errorlint // parsers return the bare Fault
	if !ok {
		return err
	}
	fault.Path = field
	return fault
}

func updateFrom(p account.Principal, req *appv1.UpdateModuleRequest) registry.Update {
	u := registry.Update{
		By:         actor(p),
		Visibility: visibilityFrom(req.GetVisibility()),
		Metadata: registry.Metadata{
			URL: req.GetUrl(), Description: req.GetDescription(),
			Entrypoint: req.GetEntrypoint(), FirstRun: req.GetFirstRun(),
			Models: modelsFrom(req.GetModels()), Apps: appsFrom(req.GetApps()),
		},
	}
	if text := req.GetMarkdownDescription(); text != "" {
		u.Markdown = &text
	}
	return u
}
