package api

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

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
	key, secret, err := a.accounts.CreateKey(ctx, p.Org.ID, account.KeySpec{Name: req.GetName(), Role: role})
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

// ListKeys lists the keys of the caller's organization, without their secrets.
func (a appService) ListKeys(ctx context.Context, req *appv1.ListKeysRequest) (*appv1.ListKeysResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	if err := ownOrg(p, req.GetOrgId()); err != nil {
		return nil, err
	}
	keys, err := a.accounts.Keys(ctx, p.Org.ID)
	if err != nil {
		return nil, err
	}
	res := &appv1.ListKeysResponse{}
	for _, k := range keys {
		res.ApiKeys = append(res.ApiKeys, stockKey(k))
	}
	return res, nil
}

// RotateKey replaces a key's secret; the old one ends at once.
func (a appService) RotateKey(ctx context.Context, req *appv1.RotateKeyRequest) (*appv1.RotateKeyResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	key, secret, err := a.accounts.RotateKey(ctx, p.Org.ID, req.GetId(), 0)
	if err != nil {
		return nil, err
	}
	return &appv1.RotateKeyResponse{Id: key.ID, Key: secret}, nil
}

// DeleteKey revokes a key, and the logins made with it, at once.
func (a appService) DeleteKey(ctx context.Context, req *appv1.DeleteKeyRequest) (*appv1.DeleteKeyResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	if err := a.accounts.DeleteKey(ctx, p.Org.ID, req.GetId()); err != nil {
		return nil, err
	}
	return &appv1.DeleteKeyResponse{}, nil
}

// stockKey is a key as the wire contract spells it. Its words for scopes end at the organization; a key of
// one module has the resource type "module".
func stockKey(k account.Key) *appv1.APIKeyWithAuthorizations {
	auth := &appv1.AuthorizationDetails{
		AuthorizationType: "role", AuthorizationId: "organization_" + string(k.Role), ResourceType: "organization", ResourceId: k.OrgID, OrgId: k.OrgID,
	}
	if k.Module != "" {
		auth.AuthorizationId, auth.ResourceType, auth.ResourceId = "module_"+string(k.Role), "module", k.OrgID+":"+k.Module
	}
	if k.Workflow != nil {
		auth.AuthorizationId, auth.ResourceType, auth.ResourceId = "module_"+string(k.Role), "module", k.OrgID+":"+strings.Join(k.Workflow.Modules, ",")
	}
	return &appv1.APIKeyWithAuthorizations{
		ApiKey:         &appv1.APIKey{Id: k.ID, Name: k.Name, CreatedOn: timestamppb.New(k.CreatedAt)},
		Authorizations: []*appv1.AuthorizationDetails{auth},
	}
}
