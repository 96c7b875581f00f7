package api

import (
	"context"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
)

// linker is the caller of an RPC about links, when their role includes role.
func (s buildService) linker(ctx context.Context, role account.Role) (account.Principal, error) {
	p, err := caller(ctx, role)
	if err == nil && s.links == nil {
		err = unimplemented("a link to a repository")
	}
	return p, err
}

// LinkRepo links a module of the caller's with the repository that it is built from. The same again is the
// same link. Stock clients put a namespace where an organization's id belongs.
func (s buildService) LinkRepo(ctx context.Context, req *buildv1.LinkRepoRequest) (*buildv1.LinkRepoResponse, error) {
	p, err := s.linker(ctx, account.RoleOwner) // whose runs are given keys
	if err != nil {
		return nil, err
	}
	link := req.GetLink()
	if link == nil {
		return nil, module.Fault{Path: "link", Problem: "missing", Advice: "name the module and its repository"}
	}
	for field, org := range map[string]string{"link.org_id": link.GetOrgId(), "link.namespace": link.GetNamespace()} {
		if err := ownPrefix(p, org); err != nil && org != "" {
			return nil, at(field, err)
		}
	}
	m, err := s.registry.OwnModule(ctx, p.Org.ID, module.ID{Namespace: p.Org.Prefix(), Name: link.GetModuleName()})
	if err != nil {
		return nil, at("link.module_name", err)
	}
	made, err := s.links.LinkRepo(ctx, farm.RepoLink{
		OrgID: p.Org.ID, Module: m.ID(), AppLinkID: link.GetOauthAppLinkId(), Repo: link.GetRepo(), CreatedBy: "key-" + p.KeyID,
	})
	if err != nil {
		return nil, err
	}
	return &buildv1.LinkRepoResponse{RepoLinkId: made.ID}, nil
}

// ownPrefix checks what names the caller's organization: its id or its namespace.
func ownPrefix(p account.Principal, prefix string) error {
	if p.Org.Namespace != "" && prefix == p.Org.Namespace {
		return nil
	}
	return ownOrg(p, prefix)
}

// UnlinkRepo removes a link of the caller's organization.
func (s buildService) UnlinkRepo(ctx context.Context, req *buildv1.UnlinkRepoRequest) (*buildv1.UnlinkRepoResponse, error) {
	p, err := s.linker(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	return &buildv1.UnlinkRepoResponse{}, s.links.UnlinkRepo(ctx, p.Org.ID, req.GetRepoLinkId())
}

// ListRepoLinks lists the links of the caller's organization.
func (s buildService) ListRepoLinks(ctx context.Context, _ *buildv1.ListRepoLinksRequest) (*buildv1.ListRepoLinksResponse, error) {
	p, err := s.linker(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	links, err := s.links.Store.RepoLinks(ctx, p.Org.ID, "")
	if err != nil {
		return nil, err
	}
	res := &buildv1.ListRepoLinksResponse{}
	for _, l := range links {
		res.Links = append(res.Links, &buildv1.RepoLink{
			OauthAppLinkId: l.AppLinkID, OrgId: l.OrgID, Namespace: optional(p.Org.Namespace),
			ModuleName: l.Module.Name, Repo: l.Repo, ViamUser: l.CreatedBy,
		})
	}
	return res, nil
}

// ListAppLinks lists the app links that the caller's organization may use.
func (s buildService) ListAppLinks(ctx context.Context, _ *buildv1.ListAppLinksRequest) (*buildv1.ListAppLinksResponse, error) {
	p, err := s.linker(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	links, err := s.links.Store.AppLinks(ctx, p.Org.ID)
	if err != nil {
		return nil, err
	}
	res := &buildv1.ListAppLinksResponse{}
	for _, l := range links {
		res.Links = append(res.Links, &buildv1.AppLink{
			OauthAppLinkId: l.ID, ViamUser: l.CreatedBy, ExternalUser: l.Account, OrgIdOrNs: l.OrgIDs,
		})
	}
	return res, nil
}

// RemoveAppLink removes an app link of the caller's organization.
func (s buildService) RemoveAppLink(ctx context.Context, req *buildv1.RemoveAppLinkRequest) (*buildv1.RemoveAppLinkResponse, error) {
	p, err := s.linker(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	return &buildv1.RemoveAppLinkResponse{}, s.links.RemoveAppLink(ctx, p.Org.ID, req.GetOauthAppLinkId())
}

// LinkOrg lets another organization use an app link of the caller's.
func (s buildService) LinkOrg(ctx context.Context, req *buildv1.LinkOrgRequest) (*buildv1.LinkOrgResponse, error) {
	p, err := s.linker(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	org, err := s.accounts.OrgByPrefix(ctx, req.GetOrgId())
	if err != nil {
		return nil, err
	}
	return &buildv1.LinkOrgResponse{}, s.links.LinkOrg(ctx, p.Org.ID, req.GetOauthAppLinkId(), org.ID)
}

// UnlinkOrg ends that, for the owner of the app link as for the other organization.
func (s buildService) UnlinkOrg(ctx context.Context, req *buildv1.UnlinkOrgRequest) (*buildv1.UnlinkOrgResponse, error) {
	p, err := s.linker(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	org, err := s.accounts.OrgByPrefix(ctx, req.GetOrgId())
	if err != nil {
		return nil, err
	}
	return &buildv1.UnlinkOrgResponse{}, s.links.UnlinkOrg(ctx, p.Org.ID, req.GetOauthAppLinkId(), org.ID)
}
