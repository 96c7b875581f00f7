package client

import (
	"context"
	"time"

	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
)

// GitHubApp is the farm's GitHub App.
type GitHubApp struct {
	ID        int64     `json:"id"`
	Slug      string    `json:"slug"`
	Name      string    `json:"name"`
	PageURL   string    `json:"page_url"`
	GitHubURL string    `json:"github_url"`
	CreatedAt time.Time `json:"created_at"`
	// Problem is what GitHub complains about, when it was asked.
	Problem string `json:"problem,omitempty"`
}

// GitHubInstallation is the App on one account.
type GitHubInstallation struct {
	ID      int64  `json:"id"`
	Account string `json:"account"`
	// OrganizationID is empty until somebody said whose the account is.
	OrganizationID string `json:"organization_id"`
	Removed        bool   `json:"removed,omitempty"`
}

// GitHubRepository is a repository that the App covers.
type GitHubRepository struct {
	Name    string    `json:"name"`
	Private bool      `json:"private"`
	SweptAt time.Time `json:"swept_at"`
	// Modules are those of the caller's organization that its tags build, as namespace:name.
	Modules []string `json:"modules"`
}

// GitHubStatus is how the farm and GitHub stand.
type GitHubStatus struct {
	// App is nil before the setup.
	App           *GitHubApp           `json:"app"`
	Installations []GitHubInstallation `json:"installations"`
	Repositories  []GitHubRepository   `json:"repositories"`
}

// GitHubTag is one row of the ledger of tags.
type GitHubTag struct {
	Repository string    `json:"repository"`
	Tag        string    `json:"tag"`
	Commit     string    `json:"commit"`
	State      string    `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	Moved      bool      `json:"moved,omitempty"`
	BuildIDs   []string  `json:"build_ids"`
	Source     string    `json:"source"`
	SeenAt     time.Time `json:"seen_at"`
	ChangedAt  time.Time `json:"changed_at"`
}

// GitHubDelivery is a message of the webhook.
type GitHubDelivery struct {
	GUID       string    `json:"guid"`
	Event      string    `json:"event"`
	Action     string    `json:"action,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	DoneAt     time.Time `json:"done_at"`
	Outcome    string    `json:"outcome"`
}

// BeginGitHubSetup returns the page where the App is made. It is secret for an hour.
func (c *Client) BeginGitHubSetup(ctx context.Context, name, account, githubURL string) (page string, err error) {
	res, err := c.github.BeginGitHubSetup(ctx, &modfarmv1.BeginGitHubSetupRequest{Name: name, Account: account, GithubUrl: githubURL})
	if err != nil {
		return "", c.fromRPC(ctx, err)
	}
	return res.GetPage(), nil
}

// GitHub tells of the App, its accounts and repositories. With verify GitHub is asked, too.
func (c *Client) GitHub(ctx context.Context, verify bool) (GitHubStatus, error) {
	res, err := c.github.GetGitHubStatus(ctx, &modfarmv1.GetGitHubStatusRequest{Verify: verify})
	if err != nil {
		return GitHubStatus{}, c.fromRPC(ctx, err)
	}
	s := GitHubStatus{Installations: []GitHubInstallation{}, Repositories: []GitHubRepository{}}
	if a := res.GetApp(); a != nil {
		s.App = &GitHubApp{
			ID: a.GetId(), Slug: a.GetSlug(), Name: a.GetName(), PageURL: a.GetPageUrl(), GitHubURL: a.GetGithubUrl(),
			CreatedAt: moment(a.GetCreatedAt()), Problem: a.GetProblem(),
		}
	}
	for _, in := range res.GetInstallations() {
		s.Installations = append(s.Installations, installation(in))
	}
	for _, r := range res.GetRepositories() {
		s.Repositories = append(s.Repositories, GitHubRepository{
			Name: r.GetName(), Private: r.GetPrivate(), SweptAt: moment(r.GetSweptAt()), Modules: append([]string{}, r.GetModules()...),
		})
	}
	return s, nil
}

// GitHubIssuer signs the identities of workflow runs that the farm gives keys to.
type GitHubIssuer struct {
	URL string
	// Problem is why the farm cannot have its keys; empty when all is well.
	Problem string
}

// GitHubIssuers has the farm fetch the keys of those whose workflow runs it trusts; none when it trusts nobody.
func (c *Client) GitHubIssuers(ctx context.Context) ([]GitHubIssuer, error) {
	res, err := c.github.GetGitHubStatus(ctx, &modfarmv1.GetGitHubStatusRequest{VerifyIssuers: true})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	var list []GitHubIssuer
	for _, i := range res.GetIssuers() {
		list = append(list, GitHubIssuer{URL: i.GetUrl(), Problem: i.GetProblem()})
	}
	return list, nil
}

func installation(in *modfarmv1.GitHubInstallation) GitHubInstallation {
	return GitHubInstallation{ID: in.GetId(), Account: in.GetAccount(), OrganizationID: in.GetOrganizationId(), Removed: in.GetRemoved()}
}

// ConnectGitHubAccount says to which organization (by namespace or id; empty for the caller's) an account belongs.
func (c *Client) ConnectGitHubAccount(ctx context.Context, account, organization string) (GitHubInstallation, error) {
	res, err := c.github.ConnectGitHubAccount(ctx, &modfarmv1.ConnectGitHubAccountRequest{Account: account, Organization: organization})
	if err != nil {
		return GitHubInstallation{}, c.fromRPC(ctx, err)
	}
	return installation(res.GetInstallation()), nil
}

// GitHubShare is an account that the App is on, and who may have private repositories of it built.
type GitHubShare struct {
	Account string
	// AppLinkID is what the wire protocol knows it by.
	AppLinkID string
	// OrganizationIDs may use it; the owner is one of them.
	OrganizationIDs []string
}

// GitHubShares lists the accounts that the caller's organization owns, or that others share with it.
func (c *Client) GitHubShares(ctx context.Context) ([]GitHubShare, error) {
	res, err := c.builds.ListAppLinks(ctx, &buildv1.ListAppLinksRequest{})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	var list []GitHubShare
	for _, l := range res.GetLinks() {
		list = append(list, GitHubShare{Account: l.GetExternalUser(), AppLinkID: l.GetOauthAppLinkId(), OrganizationIDs: l.GetOrgIdOrNs()})
	}
	return list, nil
}

// ShareGitHubAccount lets another organization (namespace or id) have repositories of an account built; with undo that
// ends, which that organization may say, too. It needs an owner's key.
func (c *Client) ShareGitHubAccount(ctx context.Context, appLinkID, organization string, undo bool) error {
	var err error
	if undo {
		_, err = c.builds.UnlinkOrg(ctx, &buildv1.UnlinkOrgRequest{OauthAppLinkId: appLinkID, OrgId: organization})
	} else {
		_, err = c.builds.LinkOrg(ctx, &buildv1.LinkOrgRequest{OauthAppLinkId: appLinkID, OrgId: organization})
	}
	return c.fromRPC(ctx, err)
}

// GitHubSwept is what a comparison of tags with the ledger found.
type GitHubSwept struct {
	// Repositories were looked at, Tags are looked at anew.
	Repositories, Tags int
	// Redelivered messages are sent again by GitHub; only for those who run the farm.
	Redelivered int
}

// SyncGitHub compares the tags of the organization's repositories with the ledger now.
func (c *Client) SyncGitHub(ctx context.Context) (GitHubSwept, error) {
	res, err := c.github.SyncGitHub(ctx, &modfarmv1.SyncGitHubRequest{})
	if err != nil {
		return GitHubSwept{}, c.fromRPC(ctx, err)
	}
	return GitHubSwept{
		Repositories: int(res.GetRepositories()), Tags: int(res.GetTags()), Redelivered: int(res.GetRedelivered()),
	}, nil
}

// BuildGitHubTag has one tag of a repository (owner/name) built, also when it is older than the App, or was refused
// or failed.
func (c *Client) BuildGitHubTag(ctx context.Context, repository, tag string) error {
	_, err := c.github.SyncGitHub(ctx, &modfarmv1.SyncGitHubRequest{Repository: repository, Tag: tag})
	return c.fromRPC(ctx, err)
}

// GitHubTags lists the ledger, the last changed first; empty arguments do not narrow, and 0 is the farm's default.
func (c *Client) GitHubTags(ctx context.Context, repository, state string, limit int) ([]GitHubTag, error) {
	res, err := c.github.ListGitHubTags(ctx, &modfarmv1.ListGitHubTagsRequest{
		Repository: repository, State: state, Limit: int32(min(limit, 1<<20)), //nolint:gosec // bounded
	})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	list := []GitHubTag{}
	for _, t := range res.GetTags() {
		list = append(list, GitHubTag{
			Repository: t.GetRepository(), Tag: t.GetTag(), Commit: t.GetCommit(), State: t.GetState(), Reason: t.GetReason(), Moved: t.GetMoved(),
			BuildIDs: append([]string{}, t.GetBuildIds()...), Source: t.GetSource(), SeenAt: moment(t.GetSeenAt()), ChangedAt: moment(t.GetChangedAt()),
		})
	}
	return list, nil
}

// GitHubDeliveries lists the webhook's newest messages; 0 is the farm's default.
func (c *Client) GitHubDeliveries(ctx context.Context, limit int) ([]GitHubDelivery, error) {
	res, err := c.github.ListGitHubDeliveries(ctx, &modfarmv1.ListGitHubDeliveriesRequest{Limit: int32(min(limit, 1<<20))}) //nolint:gosec // bounded
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	list := []GitHubDelivery{}
	for _, d := range res.GetDeliveries() {
		list = append(list, GitHubDelivery{
			GUID: d.GetGuid(), Event: d.GetEvent(), Action: d.GetAction(), ReceivedAt: moment(d.GetReceivedAt()), DoneAt: moment(d.GetDoneAt()), Outcome: d.GetOutcome(),
		})
	}
	return list, nil
}

// AddGitHubWebhookSecret accepts a further secret of the webhook, before GitHub is given it.
func (c *Client) AddGitHubWebhookSecret(ctx context.Context, secret string) error {
	_, err := c.github.AddGitHubWebhookSecret(ctx, &modfarmv1.AddGitHubWebhookSecretRequest{Secret: secret})
	return c.fromRPC(ctx, err)
}
