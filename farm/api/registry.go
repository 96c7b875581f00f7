package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// registryService does to modules what the wire contract has no messages for.
type registryService struct{ s *server }

// DeprecateModule marks a module or a version.
func (a registryService) DeprecateModule(ctx context.Context, req *modfarmv1.DeprecateModuleRequest) (*modfarmv1.DeprecateModuleResponse, error) {
	p, id, version, err := ownTarget(ctx, account.RolePublisher, req.GetModuleId(), req.GetVersion())
	if err != nil {
		return nil, err
	}
	d, err := a.s.registry.Deprecate(ctx, p.Org.ID, id, version, actor(p), req.GetMessage())
	if err != nil {
		return nil, err
	}
	return &modfarmv1.DeprecateModuleResponse{DeprecatedAt: timestamppb.New(d.At)}, nil
}

// UndeprecateModule takes that back.
func (a registryService) UndeprecateModule(ctx context.Context, req *modfarmv1.UndeprecateModuleRequest) (*modfarmv1.UndeprecateModuleResponse, error) {
	p, id, version, err := ownTarget(ctx, account.RolePublisher, req.GetModuleId(), req.GetVersion())
	if err != nil {
		return nil, err
	}
	if err := a.s.registry.Undeprecate(ctx, p.Org.ID, id, version, actor(p)); err != nil {
		return nil, err
	}
	return &modfarmv1.UndeprecateModuleResponse{}, nil
}

// DeleteModule removes a module, a version or a platform of one. It takes an owner: the key of a build server is
// no key to what is published already.
func (a registryService) DeleteModule(ctx context.Context, req *modfarmv1.DeleteModuleRequest) (*modfarmv1.DeleteModuleResponse, error) {
	p, id, version, err := ownTarget(ctx, account.RoleOwner, req.GetModuleId(), req.GetVersion())
	if err != nil {
		return nil, err
	}
	target := registry.Target{Version: version}
	if text := req.GetPlatform(); text != "" {
		if target.Platform, err = module.ParsePlatform(text); err != nil {
			return nil, at("platform", err)
		}
	}
	gone, err := a.s.registry.Delete(ctx, p.Org.ID, id, target, actor(p))
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.DeleteModuleResponse{}
	for _, rel := range gone {
		res.Releases = append(res.Releases, &modfarmv1.DeletedRelease{Version: rel.Version.String(), Platform: rel.Platform.String(), Tags: rel.Tags})
	}
	return res, nil
}

// ListReleases lists uploads with all that is known of them.
func (a registryService) ListReleases(ctx context.Context, req *modfarmv1.ListReleasesRequest) (*modfarmv1.ListReleasesResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	id, version, err := targetFrom(req.GetModuleId(), req.GetVersion())
	if err != nil {
		return nil, err
	}
	releases, err := a.s.registry.ReleasesOf(ctx, viewer(p), id, version)
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListReleasesResponse{}
	for _, rel := range releases {
		res.Releases = append(res.Releases, releaseTo(&rel))
	}
	return res, nil
}

// ListModuleEvents tells who did what to a module of the caller's organization.
func (a registryService) ListModuleEvents(ctx context.Context, req *modfarmv1.ListModuleEventsRequest) (*modfarmv1.ListModuleEventsResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	id, err := moduleID(req.GetModuleId())
	if err != nil {
		return nil, err
	}
	events, err := a.s.registry.Events(ctx, p.Org.ID, id, int(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListModuleEventsResponse{}
	for _, e := range events {
		res.Events = append(res.Events, &modfarmv1.ModuleEvent{
			At: timestamppb.New(e.At), Actor: e.Actor, Action: string(e.Action), Version: e.Version.String(), Detail: e.Detail,
		})
	}
	return res, nil
}

// ownTarget is who wants to change which module or version.
func ownTarget(ctx context.Context, role account.Role, moduleText, versionText string) (account.Principal, module.ID, module.Version, error) {
	p, err := caller(ctx, role)
	if err != nil {
		return p, module.ID{}, module.Version{}, err
	}
	id, version, err := targetFrom(moduleText, versionText)
	return p, id, version, err
}

func targetFrom(moduleText, versionText string) (id module.ID, version module.Version, err error) {
	if id, err = moduleID(moduleText); err != nil || versionText == "" {
		return id, version, err
	}
	version, err = module.ParseVersion(versionText)
	return id, version, at("version", err)
}

// actor names a caller in events and in what is kept for people.
func actor(p account.Principal) string { return "key-" + p.KeyID }

// consumer is who a download counts for.
func consumer(p account.Principal) registry.Consumer {
	return registry.Consumer{OrgID: p.Org.ID, KeyID: p.KeyID, Machine: p.Role == account.RoleMachine}
}
