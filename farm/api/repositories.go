package api

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// linkService links modules with repositories as the farm's own clients do: by the module's id.
type linkService struct{ *server }

// linked is the caller and their module, when their role includes role.
func (s linkService) linked(ctx context.Context, role account.Role, text string) (account.Principal, module.ID, error) {
	p, err := buildService{server: s.server}.linker(ctx, role)
	if err != nil {
		return p, module.ID{}, err
	}
	id, err := module.ParseID(text)
	if err != nil {
		return p, id, at("module_id", err)
	}
	m, err := s.registry.OwnModule(ctx, p.Org.ID, id)
	return p, m.ID(), err
}

// LinkRepository links a module of the caller's with a repository. Its runs are given keys for the module, so it is the
// owner's to say.
func (s linkService) LinkRepository(ctx context.Context, req *modfarmv1.LinkRepositoryRequest) (*modfarmv1.LinkRepositoryResponse, error) {
	p, id, err := s.linked(ctx, account.RoleOwner, req.GetModuleId())
	if err != nil {
		return nil, err
	}
	link, err := s.links.Link(ctx, farm.RepoLink{OrgID: p.Org.ID, Module: id, Repo: req.GetRepository(), CreatedBy: "key-" + p.KeyID})
	if err != nil {
		return nil, err
	}
	if req.GetRenew() && link.Number != "" {
		if err := s.links.Renew(ctx, p.Org.ID, link.ID); err != nil {
			return nil, err
		}
		link.Number, link.OwnerNumber = "", ""
	}
	return &modfarmv1.LinkRepositoryResponse{Link: linkTo(link)}, nil
}

// UnlinkRepository ends that.
func (s linkService) UnlinkRepository(ctx context.Context, req *modfarmv1.UnlinkRepositoryRequest) (*modfarmv1.UnlinkRepositoryResponse, error) {
	p, id, err := s.linked(ctx, account.RolePublisher, req.GetModuleId())
	if err != nil {
		return nil, err
	}
	return &modfarmv1.UnlinkRepositoryResponse{}, s.links.Unlink(ctx, p.Org.ID, id, req.GetRepository())
}

// ListRepositoryLinks lists what is linked.
func (s linkService) ListRepositoryLinks(ctx context.Context, req *modfarmv1.ListRepositoryLinksRequest) (*modfarmv1.ListRepositoryLinksResponse, error) {
	p, err := buildService{server: s.server}.linker(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	only, err := s.ownModuleID(ctx, p, req.GetModuleId())
	if err != nil {
		return nil, err
	}
	links, err := s.links.Store.RepoLinks(ctx, p.Org.ID, "")
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListRepositoryLinksResponse{}
	for _, l := range links {
		if only.IsZero() || strings.EqualFold(l.Module.Name, only.Name) {
			res.Links = append(res.Links, linkTo(l))
		}
	}
	return res, nil
}

func linkTo(l farm.RepoLink) *modfarmv1.RepositoryLink {
	return &modfarmv1.RepositoryLink{
		ModuleId: l.Module.String(), Repository: l.Repo, RepositoryNumber: l.Number, OwnerNumber: l.OwnerNumber,
		CreatedBy: l.CreatedBy, CreatedAt: timestamppb.New(l.CreatedAt),
	}
}
