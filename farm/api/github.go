package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// githubService is the GitHub App as the farm's own clients see it.
type githubService struct{ *server }

// mountGitHub serves what GitHub and people's browsers ask for.
func (s *server) mountGitHub(mux *http.ServeMux) {
	if s.github == nil {
		return
	}
	mux.Handle(github.WebhookPath, s.github)
	mux.HandleFunc("GET "+github.SetupPath, s.github.ServeSetup)
	mux.HandleFunc("GET "+github.CallbackPath, s.github.ServeCallback)
	mux.HandleFunc("GET "+github.LogPath, s.github.ServeLog)
}

// owner is a caller who runs the farm.
func (s githubService) owner(ctx context.Context) (account.Principal, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err == nil {
		err = s.accounts.RequireFarmOwner(ctx, p)
	}
	return p, errors.Join(err, s.there())
}

// there is an error on a farm that was made without.
func (s githubService) there() error {
	if s.github == nil {
		return fmt.Errorf("%w: this farm was started without GitHub", module.ErrNotFound)
	}
	return nil
}

// member is a caller of the role; s.github is there.
func (s githubService) member(ctx context.Context, role account.Role) (account.Principal, error) {
	p, err := caller(ctx, role)
	return p, errors.Join(err, s.there())
}

// BeginGitHubSetup returns the page where the App is made.
func (s githubService) BeginGitHubSetup(ctx context.Context, req *modfarmv1.BeginGitHubSetupRequest) (*modfarmv1.BeginGitHubSetupResponse, error) {
	if _, err := s.owner(ctx); err != nil {
		return nil, err
	}
	page, err := s.github.BeginSetup(ctx, github.Setup{Name: req.GetName(), Account: req.GetAccount(), WebURL: req.GetGithubUrl()})
	if err != nil {
		return nil, err
	}
	return &modfarmv1.BeginGitHubSetupResponse{Page: page}, nil
}

// GetGitHubStatus tells of the App, its accounts and repositories.
func (s githubService) GetGitHubStatus(ctx context.Context, req *modfarmv1.GetGitHubStatusRequest) (*modfarmv1.GetGitHubStatusResponse, error) {
	p, err := s.member(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.GetGitHubStatusResponse{}
	if req.GetVerifyIssuers() && s.workflows != nil {
		for _, name := range s.workflows.Issuers() {
			row := &modfarmv1.GitHubIssuer{Url: name}
			if err := s.workflows.Check(ctx, name); err != nil {
				row.Problem = err.Error()
			}
			res.Issuers = append(res.Issuers, row)
		}
	}
	app, err := s.github.App(ctx)
	if errors.Is(err, module.ErrNotFound) {
		return res, nil
	}
	if err != nil {
		return nil, err
	}
	res.App = &modfarmv1.GitHubApp{
		Id: app.ID, Slug: app.Slug, Name: app.Name, PageUrl: app.PageURL, GithubUrl: app.WebURL, CreatedAt: moment(app.CreatedAt),
	}
	if req.GetVerify() {
		if err := s.github.Verify(ctx); err != nil {
			res.App.Problem = err.Error()
		}
	}
	all := s.accounts.RequireFarmOwner(ctx, p) == nil
	installations, err := s.github.Installations(ctx)
	if err != nil {
		return nil, err
	}
	for _, in := range installations {
		if all || in.OrgID == p.Org.ID {
			res.Installations = append(res.Installations, installationTo(in))
		}
	}
	res.Repositories, err = s.repositoriesOf(ctx, p.Org.ID)
	return res, err
}

// repositoriesOf lists what an organization's tags are built from.
func (s githubService) repositoriesOf(ctx context.Context, orgID string) (list []*modfarmv1.GitHubRepository, err error) {
	repositories, err := s.github.Repositories(ctx, orgID)
	if err != nil {
		return nil, err
	}
	for _, r := range repositories {
		modules, err := s.github.Linked(ctx, orgID, r)
		if err != nil {
			return nil, err
		}
		row := &modfarmv1.GitHubRepository{Name: r.FullName, Private: r.Private, SweptAt: moment(r.SweptAt)}
		for _, id := range modules {
			row.Modules = append(row.Modules, id.String())
		}
		list = append(list, row)
	}
	return list, nil
}

func installationTo(in github.Installation) *modfarmv1.GitHubInstallation {
	return &modfarmv1.GitHubInstallation{Id: in.ID, Account: in.Account, OrganizationId: in.OrgID, Removed: in.Removed}
}

// ConnectGitHubAccount says whose an account is.
func (s githubService) ConnectGitHubAccount(ctx context.Context, req *modfarmv1.ConnectGitHubAccountRequest) (*modfarmv1.ConnectGitHubAccountResponse, error) {
	p, err := s.owner(ctx)
	if err != nil {
		return nil, err
	}
	org := p.Org
	if req.GetOrganization() != "" {
		if org, err = s.accounts.OrgByPrefix(ctx, req.GetOrganization()); err != nil {
			return nil, err
		}
	}
	in, err := s.github.Connect(ctx, req.GetAccount(), org.ID)
	if err != nil {
		return nil, err
	}
	return &modfarmv1.ConnectGitHubAccountResponse{Installation: installationTo(in)}, nil
}

// SyncGitHub compares tags with the ledger now, or has one built.
func (s githubService) SyncGitHub(ctx context.Context, req *modfarmv1.SyncGitHubRequest) (*modfarmv1.SyncGitHubResponse, error) {
	p, err := s.member(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	if (req.GetTag() == "") != (req.GetRepository() == "") {
		return nil, module.Fault{Path: "tag", Value: req.GetTag(), Problem: "tag and repository belong together", Advice: "give both for one tag, or neither to compare all"}
	}
	if req.GetTag() != "" {
		return &modfarmv1.SyncGitHubResponse{Repositories: 1, Tags: 1}, s.github.BuildTag(ctx, p.Org.ID, req.GetRepository(), req.GetTag())
	}
	swept, err := s.github.Sync(ctx, p.Org.ID)
	if err != nil {
		return nil, err
	}
	if s.accounts.RequireFarmOwner(ctx, p) == nil { // deliveries are of all organizations
		if swept.Redelivered, err = s.github.Redeliver(ctx); err != nil {
			return nil, err
		}
	}
	return &modfarmv1.SyncGitHubResponse{
		Repositories: int32(swept.Repositories), Tags: int32(swept.Tags), Redelivered: int32(swept.Redelivered), //nolint:gosec // far below
	}, nil
}

// ListGitHubTags lists the ledger of the caller's organization.
func (s githubService) ListGitHubTags(ctx context.Context, req *modfarmv1.ListGitHubTagsRequest) (*modfarmv1.ListGitHubTagsResponse, error) {
	p, err := s.member(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	filter := github.TagFilter{OrgID: p.Org.ID, State: github.TagState(req.GetState()), Repository: req.GetRepository(), Limit: int(req.GetLimit())}
	if states := github.TagStates(); filter.State != "" && !slices.Contains(states, filter.State) {
		return nil, module.Fault{Path: "state", Value: req.GetState(), Problem: "no tag is ever that", Advice: fmt.Sprintf("use one of %q", states)}
	}
	if err := notNegative(req.GetLimit()); err != nil {
		return nil, err
	}
	tags, err := s.github.Tags(ctx, filter)
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListGitHubTagsResponse{}
	for _, t := range tags {
		row := &modfarmv1.GitHubTag{
			Repository: t.Repository, Tag: t.Name, Commit: t.Commit, State: string(t.State), Reason: t.Reason, Moved: t.Moved,
			Source: t.Source, SeenAt: moment(t.SeenAt), ChangedAt: moment(t.ChangedAt),
		}
		for _, b := range t.Builds {
			if b.BuildID != "" {
				row.BuildIds = append(row.BuildIds, b.BuildID)
			}
		}
		res.Tags = append(res.Tags, row)
	}
	return res, nil
}

// ListGitHubDeliveries lists the webhook's newest messages.
func (s githubService) ListGitHubDeliveries(ctx context.Context, req *modfarmv1.ListGitHubDeliveriesRequest) (*modfarmv1.ListGitHubDeliveriesResponse, error) {
	if _, err := s.owner(ctx); err != nil {
		return nil, err
	}
	const usual, most = 50, 1000
	if err := notNegative(req.GetLimit()); err != nil {
		return nil, err
	}
	list, err := s.github.Deliveries(ctx, min(cmp.Or(int(req.GetLimit()), usual), most))
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListGitHubDeliveriesResponse{}
	for _, d := range list {
		res.Deliveries = append(res.Deliveries, &modfarmv1.GitHubDelivery{
			Guid: d.GUID, Event: d.Event, Action: d.Action, ReceivedAt: moment(d.ReceivedAt), DoneAt: moment(d.DoneAt), Outcome: d.Outcome,
		})
	}
	return res, nil
}

// AddGitHubWebhookSecret accepts a further secret of the webhook.
func (s githubService) AddGitHubWebhookSecret(ctx context.Context, req *modfarmv1.AddGitHubWebhookSecretRequest) (*modfarmv1.AddGitHubWebhookSecretResponse, error) {
	if _, err := s.owner(ctx); err != nil {
		return nil, err
	}
	const shortest = 16
	if len(req.GetSecret()) < shortest {
		return nil, module.Fault{Path: "secret", Problem: "too short", Advice: fmt.Sprintf("give at least %d random characters", shortest)}
	}
	return &modfarmv1.AddGitHubWebhookSecretResponse{}, s.github.AddWebhookSecret(ctx, req.GetSecret())
}
