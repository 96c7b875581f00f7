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
