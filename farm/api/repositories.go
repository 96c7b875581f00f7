package api

import (
	"context"
	"errors"
	"slices"
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
	var link farm.RepoLink
	if req.GetRenew() {
		link, err = s.links.Renew(ctx, p.Org.ID, id, req.GetRepository())
	} else if err = s.serves(ctx, req.GetRepository()); err == nil {
		link, err = s.links.Link(ctx, farm.RepoLink{OrgID: p.Org.ID, Module: id, Repo: req.GetRepository(), CreatedBy: "key-" + p.KeyID})
	}
	if err != nil {
		return nil, err
	}
	return &modfarmv1.LinkRepositoryResponse{Link: linkTo(link)}, nil
}

// serves says whether something can come of a link: workflow runs prove themselves by an issuer, and tags are heard of
// by the App, both of certain hosts. A farm with neither may yet be given the usual App.
func (s linkService) serves(ctx context.Context, repository string) error {
	repo, err := farm.NormalRepo(repository)
	if err != nil {
		return err
	}
	var hosts []string
	if s.workflows != nil {
		hosts = s.workflows.Hosts()
	}
	if s.github != nil {
		app, err := s.github.App(ctx)
		if err != nil && !errors.Is(err, module.ErrNotFound) {
			return err
		}
		if err == nil && !slices.Contains(hosts, app.WebURL) {
			hosts = append(hosts, app.WebURL)
		}
	}
	if len(hosts) == 0 {
		hosts = []string{"https://github.com"}
	}
	if slices.ContainsFunc(hosts, func(host string) bool { return strings.HasPrefix(repo, strings.ToLower(host)+"/") }) {
		return nil
	}
	return module.Fault{
		Path: "repository", Value: repository, Problem: "it is not on a GitHub that this farm works with, so that nothing would come of the link",
		Advice: "give the address of one on " + strings.Join(hosts, " or ") +
			"; another GitHub is made known by 'modfarm github setup --github-url', or by --oidc-issuer of the farm",
	}
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
