package client

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// APIKey is everything about an API key but its secret.
type APIKey struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Role is owner, publisher, reader or machine.
	Role string `json:"role"`
	// Module is the one module that the key is for; empty for all of its organization.
	Module string `json:"module,omitempty"`
	// The times are zero where they never were, or never will be.
	CreatedAt      time.Time `json:"created_at,omitzero"`
	ExpiresAt      time.Time `json:"expires_at,omitzero"`
	RotatedAt      time.Time `json:"rotated_at,omitzero"`
	UsedAt         time.Time `json:"used_at,omitzero"`
	OldSecretUntil time.Time `json:"old_secret_until,omitzero"`
	// Workflow is the run that the key was given to; nil for every other key.
	Workflow *module.WorkflowRun `json:"workflow,omitempty"`
}

// NewKey is a key that was just made or rotated, with its secret, which nobody shows again.
type NewKey struct {
	APIKey
	Secret string `json:"key"`
}

// KeyRequest says what a key is to be.
type KeyRequest struct {
	// Name is shown in lists; empty becomes "key-" and the id.
	Name string
	// Role is owner, publisher, reader or machine.
	Role string
	// Module is the one module that the key is for; empty for all of the organization.
	Module string
	// Lifetime is how long the key is good; zero is for ever.
	Lifetime time.Duration
}

// Identity is what a key is good for.
type Identity struct {
	Key          APIKey       `json:"key"`
	Organization Organization `json:"organization"`
	// FarmOwner says that the key may make organizations.
	FarmOwner bool `json:"farm_owner"`
}

// WhoAmI tells what the client's key is good for.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	res, err := c.accounts.WhoAmI(ctx, &modfarmv1.WhoAmIRequest{})
	if err != nil {
		return Identity{}, c.fromRPC(ctx, err)
	}
	return Identity{Key: keyFrom(res.GetKey()), Organization: organizationFrom(res.GetOrganization()), FarmOwner: res.GetFarmOwner()}, nil
}

// FarmOrganizations lists every organization of the farm, oldest first; for those who run it.
func (c *Client) FarmOrganizations(ctx context.Context) ([]Organization, error) {
	res, err := c.accounts.ListFarmOrganizations(ctx, &modfarmv1.ListFarmOrganizationsRequest{})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	orgs := make([]Organization, 0, len(res.GetOrganizations()))
	for _, o := range res.GetOrganizations() {
		orgs = append(orgs, organizationFrom(o))
	}
	return orgs, nil
}

// CreateOrganization makes an organization with an owner's key; for those who run the farm. A namespace that is
// taken wraps module.ErrConflict.
func (c *Client) CreateOrganization(ctx context.Context, name, namespace string) (Organization, NewKey, error) {
	res, err := c.accounts.CreateOrganization(ctx, &modfarmv1.CreateOrganizationRequest{Name: name, Namespace: namespace})
	if err != nil {
		return Organization{}, NewKey{}, c.fromRPC(ctx, err)
	}
	return organizationFrom(res.GetOrganization()), NewKey{APIKey: keyFrom(res.GetKey()), Secret: res.GetSecret()}, nil
}

// SetNamespace gives the key's organization its namespace, once. One that is taken, and a second one, wrap
// module.ErrConflict.
func (c *Client) SetNamespace(ctx context.Context, namespace string) (Organization, error) {
	res, err := c.accounts.SetNamespace(ctx, &modfarmv1.SetNamespaceRequest{Namespace: namespace})
	if err != nil {
		return Organization{}, c.fromRPC(ctx, err)
	}
	return organizationFrom(res.GetOrganization()), nil
}

// CreateKey makes an API key.
func (c *Client) CreateKey(ctx context.Context, r KeyRequest) (NewKey, error) {
	req := &modfarmv1.CreateAPIKeyRequest{Name: r.Name, Role: r.Role, ScopeModuleId: r.Module}
	if r.Lifetime != 0 {
		req.Lifetime = durationpb.New(r.Lifetime)
	}
	res, err := c.accounts.CreateAPIKey(ctx, req)
	if err != nil {
		return NewKey{}, c.fromRPC(ctx, err)
	}
	return NewKey{APIKey: keyFrom(res.GetKey()), Secret: res.GetSecret()}, nil
}

// Keys lists the API keys of the key's organization, oldest first.
func (c *Client) Keys(ctx context.Context) ([]APIKey, error) {
	res, err := c.accounts.ListAPIKeys(ctx, &modfarmv1.ListAPIKeysRequest{})
	if err != nil {
		return nil, c.fromRPC(ctx, err)
	}
	keys := make([]APIKey, 0, len(res.GetKeys()))
	for _, k := range res.GetKeys() {
		keys = append(keys, keyFrom(k))
	}
	return keys, nil
}

// RotateKey gives a key a new secret. The old one is good for grace more.
func (c *Client) RotateKey(ctx context.Context, id string, grace time.Duration) (NewKey, error) {
	res, err := c.accounts.RotateAPIKey(ctx, &modfarmv1.RotateAPIKeyRequest{Id: id, Grace: durationpb.New(grace)})
	if err != nil {
		return NewKey{}, c.fromRPC(ctx, err)
	}
	return NewKey{APIKey: keyFrom(res.GetKey()), Secret: res.GetSecret()}, nil
}

// RevokeKey ends a key, and every login made with it, at once.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	_, err := c.app.DeleteKey(ctx, &appv1.DeleteKeyRequest{Id: id})
	return c.fromRPC(ctx, err)
}

func organizationFrom(p *modfarmv1.FarmOrganization) Organization {
	return Organization{ID: p.GetId(), Name: p.GetName(), Namespace: p.GetNamespace()}
}

func keyFrom(p *modfarmv1.APIKey) APIKey {
	return APIKey{
		ID: p.GetId(), Name: p.GetName(), Role: p.GetRole(), Module: p.GetScopeModuleId(), CreatedAt: moment(p.GetCreatedAt()),
		ExpiresAt: moment(p.GetExpiresAt()), RotatedAt: moment(p.GetRotatedAt()), UsedAt: moment(p.GetUsedAt()),
		OldSecretUntil: moment(p.GetOldSecretUntil()), Workflow: workflowFrom(p.GetWorkflow()),
	}
}

// CreateOwnerKey makes an owner's key as stock clients do. An empty organization is that of the client's key.
func (c *Client) CreateOwnerKey(ctx context.Context, orgID, name string) (NewKey, error) {
	if orgID == "" {
		orgs, err := c.Login(ctx)
		if err != nil {
			return NewKey{}, err
		}
		orgID = orgs[0].ID
	}
	res, err := c.app.CreateKey(ctx, &appv1.CreateKeyRequest{Name: name, Authorizations: []*appv1.Authorization{{
		AuthorizationType: "role", AuthorizationId: "organization_owner", ResourceType: "organization", ResourceId: orgID,
		OrganizationId: orgID, IdentityType: "api-key",
	}}})
	if err != nil {
		return NewKey{}, c.fromRPC(ctx, err)
	}
	return NewKey{APIKey: APIKey{ID: res.GetId(), Name: name, Role: "owner"}, Secret: res.GetKey()}, nil
}
