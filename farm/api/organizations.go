package api

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"

	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// appService is organizations, keys and modules. What is not written here is Unimplemented.
type appService struct {
	appv1connect.UnimplementedAppServiceHandler
	*server
}

// ListOrganizations lists the one organization of the caller's key.
func (a appService) ListOrganizations(ctx context.Context, _ *appv1.ListOrganizationsRequest) (*appv1.ListOrganizationsResponse, error) {
	p, err := caller(ctx, account.RoleMachine)
	if err != nil {
		return nil, err
	}
	return &appv1.ListOrganizationsResponse{Organizations: []*appv1.Organization{organization(p.Org)}}, nil
}

// GetOrganization returns the caller's organization; others are not found.
func (a appService) GetOrganization(ctx context.Context, req *appv1.GetOrganizationRequest) (*appv1.GetOrganizationResponse, error) {
	p, err := caller(ctx, account.RoleMachine)
	if err != nil {
		return nil, err
	}
	if err := ownOrg(p, req.GetOrganizationId()); err != nil {
		return nil, err
	}
	return &appv1.GetOrganizationResponse{Organization: organization(p.Org)}, nil
}

// CreateKey makes an API key for the caller's organization.
func (a appService) CreateKey(ctx context.Context, req *appv1.CreateKeyRequest) (*appv1.CreateKeyResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	role, err := keyRole(p, req.GetAuthorizations())
	if err != nil {
		return nil, err
	}
	key, secret, err := a.accounts.CreateKey(ctx, p.Org.ID, req.GetName(), role)
	if err != nil {
		return nil, err
	}
	return &appv1.CreateKeyResponse{Id: key.ID, Key: secret}, nil
}

// keyRole is the role that a key's one authorization names.
func keyRole(p account.Principal, auths []*appv1.Authorization) (account.Role, error) {
	if len(auths) != 1 {
		return "", module.Fault{Path: "authorizations", Problem: fmt.Sprintf("%d authorizations", len(auths)), Advice: "ask for exactly one"}
	}
	a := auths[0]
	if a.GetResourceType() != "organization" {
		return "", module.Fault{
			Path: "authorizations[0].resource_type", Value: a.GetResourceType(),
			Problem: "this farm has keys for organizations only", Advice: "make an organization key",
		}
	}
	if err := ownOrg(p, a.GetResourceId()); err != nil {
		return "", err
	}
	roles := map[string]account.Role{
		"organization_owner":     account.RoleOwner,
		"organization_publisher": account.RolePublisher,
		"organization_operator":  account.RoleReader,
		"organization_reader":    account.RoleReader,
		"organization_machine":   account.RoleMachine,
	}
	role, ok := roles[a.GetAuthorizationId()]
	if !ok {
		return "", module.Fault{
			Path: "authorizations[0].authorization_id", Value: a.GetAuthorizationId(), Problem: "not a role",
			Advice: "use organization_owner, organization_publisher, organization_reader or organization_machine",
		}
	}
	return role, nil
}

func ownOrg(p account.Principal, id string) error {
	if id == p.Org.ID {
		return nil
	}
	return fmt.Errorf("%w: organization %q; this key is for %q with the id %s", module.ErrNotFound, id, p.Org.Name, p.Org.ID)
}

func organization(o account.Org) *appv1.Organization {
	return &appv1.Organization{
		Id: o.ID, Name: o.Name, PublicNamespace: o.Namespace, CreatedOn: timestamppb.New(o.CreatedAt),
	}
}
