package client

import (
	"context"
	"time"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// RepositoryLink says that workflow runs of a repository speak for a module.
type RepositoryLink struct {
	Module module.ID `json:"module"`
	// Repository is as "https://github.com/acme/widget".
	Repository string `json:"repository"`
	// RepositoryNumber and OwnerNumber are the code host's, since the first run that was given a key; empty before.
	RepositoryNumber string    `json:"repository_number,omitempty"`
	OwnerNumber      string    `json:"owner_number,omitempty"`
	CreatedBy        string    `json:"created_by"`
	CreatedAt        time.Time `json:"created_at"`
}

// LinkRepository links a module with a repository, given by its https address, or as owner/name of one on GitHub. With
// renew the numbers that the link has are forgotten. It needs an owner's key.
func (c *Client) LinkRepository(ctx context.Context, id module.ID, repository string, renew bool) (RepositoryLink, error) {
	res, err := c.links.LinkRepository(ctx, &modfarmv1.LinkRepositoryRequest{ModuleId: id.String(), Repository: repository, Renew: renew})
	if err != nil {
		return RepositoryLink{}, c.fromRPC(ctx, err)
	}
	return linkFrom(res.GetLink())
}

// UnlinkRepository ends that. What is not linked wraps module.ErrNotFound.
func (c *Client) UnlinkRepository(ctx context.Context, id module.ID, repository string) error {
	_, err := c.links.UnlinkRepository(ctx, &modfarmv1.UnlinkRepositoryRequest{ModuleId: id.String(), Repository: repository})
	return c.fromRPC(ctx, err)
}

// RepositoryLinks lists the links of a module, or of the whole organization when id is zero.
func (c *Client) RepositoryLinks(ctx context.Context, id module.ID) ([]RepositoryLink, error) {
	res, err := c.links.ListRepositoryLinks(ctx, &modfarmv1.ListRepositoryLinksRequest{ModuleId: id.String()})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	links := make([]RepositoryLink, 0, len(res.GetLinks()))
	for _, p := range res.GetLinks() {
		link, err := linkFrom(p)
		if err != nil {
			return nil, err
		}
		links = append(links, link)
	}
	return links, nil
}

func linkFrom(p *modfarmv1.RepositoryLink) (RepositoryLink, error) {
	var r reader
	return RepositoryLink{
		Module: parse(&r, "a module id", p.GetModuleId(), module.ParseID), Repository: p.GetRepository(),
		RepositoryNumber: p.GetRepositoryNumber(), OwnerNumber: p.GetOwnerNumber(), CreatedBy: p.GetCreatedBy(), CreatedAt: moment(p.GetCreatedAt()),
	}, r.err
}
