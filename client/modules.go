package client

import (
	"context"

	"github.com/modfarm/modfarm/module"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// Login checks the key and returns the organizations that it is good for. Other methods log in by
// themselves.
func (c *Client) Login(ctx context.Context) ([]Organization, error) {
	res, err := c.app.ListOrganizations(ctx, &appv1.ListOrganizationsRequest{})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	orgs := make([]Organization, 0, len(res.GetOrganizations()))
	for _, o := range res.GetOrganizations() {
		orgs = append(orgs, Organization{ID: o.GetId(), Name: o.GetName(), Namespace: o.GetPublicNamespace()})
	}
	return orgs, nil
}

// CreateModule makes a module in an organization, given by its UUID. A name that is taken wraps
// module.ErrConflict.
func (c *Client) CreateModule(ctx context.Context, orgID, name string) (module.ID, error) {
	res, err := c.app.CreateModule(ctx, &appv1.CreateModuleRequest{OrganizationId: orgID, Name: name})
	if err != nil {
		return module.ID{}, c.fromRPC(ctx, err)
	}
	var r reader
	return parse(&r, "a module id", res.GetModuleId(), module.ParseID), r.err
}

// UpdateModule makes the module's metadata what meta.json says. docs are the texts that its markdown
// links point to: by model triple, and under the empty name the module's own; nil is fine.
func (c *Client) UpdateModule(ctx context.Context, m *module.Manifest, docs map[string]string) error {
	req := &appv1.UpdateModuleRequest{
		ModuleId: m.ID.String(), Visibility: visibilityTo(m.Visibility), Url: m.URL, Description: m.Description,
		Entrypoint: m.Entrypoint, FirstRun: optional(m.FirstRun), MarkdownDescription: optional(docs[""]),
	}
	for _, model := range m.Models {
		req.Models = append(req.Models, &appv1.Model{
			Api: model.API, Model: model.Model,
			Description: optional(model.ShortDescription), MarkdownDocumentation: optional(docs[model.Model]),
		})
	}
	for _, a := range m.Applications {
		req.Apps = append(req.Apps, appTo(a))
	}
	_, err := c.app.UpdateModule(ctx, req)
	return c.fromRPC(ctx, err)
}

// Package finds the archive of one version for one platform.
func (c *Client) Package(ctx context.Context, id module.ID, v module.Version, p module.Platform) (Package, error) {
	url, kind := true, packagesv1.PackageType_PACKAGE_TYPE_MODULE
	res, err := c.pkg.GetPackage(ctx, &packagesv1.GetPackageRequest{
		Id: id.PackageID(), Version: v.String() + "-" + p.Dashed(), IncludeUrl: &url, Type: &kind,
	})
	if err != nil {
		return Package{}, c.fromRPC(ctx, err)
	}
	got := res.GetPackage()
	out := Package{
		ID: got.GetId(), Version: got.GetInfo().GetVersion(), URL: got.GetUrl(),
		SHA256: got.GetChecksum(), CreatedAt: moment(got.GetCreatedOn()),
	}
	for _, f := range got.GetInfo().GetFiles() {
		out.Size += int64(f.GetSize()) //nolint:gosec // far below 2^63
	}
	return out, nil
}

func visibilityTo(v module.Visibility) appv1.Visibility {
	switch v {
	case module.VisibilityPrivate:
		return appv1.Visibility_VISIBILITY_PRIVATE
	case module.VisibilityPublic:
		return appv1.Visibility_VISIBILITY_PUBLIC
	case module.VisibilityPublicUnlisted:
		return appv1.Visibility_VISIBILITY_PUBLIC_UNLISTED
	}
	return appv1.Visibility_VISIBILITY_UNSPECIFIED
}

func visibilityFrom(v appv1.Visibility) module.Visibility {
	switch v {
	case appv1.Visibility_VISIBILITY_PUBLIC:
		return module.VisibilityPublic
	case appv1.Visibility_VISIBILITY_PUBLIC_UNLISTED:
		return module.VisibilityPublicUnlisted
	case appv1.Visibility_VISIBILITY_UNSPECIFIED, appv1.Visibility_VISIBILITY_PRIVATE:
		return module.VisibilityPrivate
	}
	return module.VisibilityPrivate
}

func appTo(a module.Application) *appv1.App {
	app := &appv1.App{
		Name: a.Name, Type: a.Type, Entrypoint: a.Entrypoint,
		FragmentIds: a.FragmentIDs, LogoPath: optional(a.LogoPath),
	}
	if len(a.AllowedOrgIDs) > 0 {
		app.AllowedOrgIds = &appv1.AllowedOrgIDs{Ids: a.AllowedOrgIDs}
	}
	if a.MachinePickerHeading != "" || a.MachinePickerSubheading != "" {
		app.Customizations = &appv1.AppCustomizations{MachinePicker: &appv1.MachinePickerCustomizations{
			Heading: optional(a.MachinePickerHeading), Subheading: optional(a.MachinePickerSubheading),
		}}
	}
	return app
}
