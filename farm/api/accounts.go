package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// accountService is what the wire contract has no messages for: scopes, expiry, namespaces, more organizations.
type accountService struct{ *server }

// WhoAmI tells what the caller's key is good for.
func (s accountService) WhoAmI(ctx context.Context, _ *modfarmv1.WhoAmIRequest) (*modfarmv1.WhoAmIResponse, error) {
	p, err := caller(ctx, account.RoleMachine)
	if err != nil {
		return nil, err
	}
	key := account.Key{ID: p.KeyID, Name: p.KeyName, Role: p.Role, Module: p.Module, ExpiresAt: p.ExpiresAt, Workflow: p.Workflow}
	return &modfarmv1.WhoAmIResponse{
		Key: keyTo(p.Org, key), Organization: farmOrganization(p.Org), FarmOwner: s.accounts.RequireFarmOwner(ctx, p) == nil,
	}, nil
}

// ListFarmOrganizations lists every organization, for those who run the farm.
func (s accountService) ListFarmOrganizations(ctx context.Context, _ *modfarmv1.ListFarmOrganizationsRequest) (*modfarmv1.ListFarmOrganizationsResponse, error) {
	if err := s.farmOwner(ctx); err != nil {
		return nil, err
	}
	orgs, err := s.accounts.Orgs(ctx)
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListFarmOrganizationsResponse{}
	for _, o := range orgs {
		res.Organizations = append(res.Organizations, farmOrganization(o))
	}
	return res, nil
}

// CreateOrganization makes an organization, for those who run the farm.
func (s accountService) CreateOrganization(ctx context.Context, req *modfarmv1.CreateOrganizationRequest) (*modfarmv1.CreateOrganizationResponse, error) {
	if err := s.farmOwner(ctx); err != nil {
		return nil, err
	}
	made, err := s.accounts.CreateOrg(ctx, req.GetName(), req.GetNamespace())
	if err != nil {
		return nil, err
	}
	return &modfarmv1.CreateOrganizationResponse{Organization: farmOrganization(made.Org), Key: keyTo(made.Org, made.Key), Secret: made.Secret}, nil
}

func (s accountService) farmOwner(ctx context.Context) error {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return err
	}
	return s.accounts.RequireFarmOwner(ctx, p)
}

// SetNamespace gives the caller's organization its namespace.
func (s accountService) SetNamespace(ctx context.Context, req *modfarmv1.SetNamespaceRequest) (*modfarmv1.SetNamespaceResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	org, err := s.accounts.SetNamespace(ctx, p.Org.ID, req.GetNamespace())
	if err != nil {
		return nil, err
	}
	return &modfarmv1.SetNamespaceResponse{Organization: farmOrganization(org)}, nil
}

// CreateAPIKey makes a key.
func (s accountService) CreateAPIKey(ctx context.Context, req *modfarmv1.CreateAPIKeyRequest) (*modfarmv1.CreateAPIKeyResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	spec := account.KeySpec{Name: req.GetName(), Role: account.Role(req.GetRole())}
	if l := req.GetLifetime(); l != nil {
		if spec.Lifetime = l.AsDuration(); spec.Lifetime <= 0 {
			return nil, module.Fault{Path: "lifetime", Value: spec.Lifetime.String(), Problem: "the key would have ended already", Advice: "give a time that is yet to come"}
		}
	}
	if text := req.GetScopeModuleId(); text != "" {
		id, err := module.ParseID(text)
		if err != nil {
			return nil, at("scope_module_id", err)
		}
		m, err := s.registry.OwnModule(ctx, p.Org.ID, id)
		if err != nil {
			return nil, err
		}
		spec.Module = m.Name
	}
	key, secret, err := s.accounts.CreateKey(ctx, p.Org.ID, spec)
	if err != nil {
		return nil, err
	}
	return &modfarmv1.CreateAPIKeyResponse{Key: keyTo(p.Org, key), Secret: secret}, nil
}

// ListAPIKeys lists the organization's keys.
func (s accountService) ListAPIKeys(ctx context.Context, _ *modfarmv1.ListAPIKeysRequest) (*modfarmv1.ListAPIKeysResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	keys, err := s.accounts.Keys(ctx, p.Org.ID)
	if err != nil {
		return nil, err
	}
	res := &modfarmv1.ListAPIKeysResponse{}
	for _, k := range keys {
		res.Keys = append(res.Keys, keyTo(p.Org, k))
	}
	return res, nil
}

// RotateAPIKey replaces a key's secret.
func (s accountService) RotateAPIKey(ctx context.Context, req *modfarmv1.RotateAPIKeyRequest) (*modfarmv1.RotateAPIKeyResponse, error) {
	p, err := caller(ctx, account.RoleOwner)
	if err != nil {
		return nil, err
	}
	key, secret, err := s.accounts.RotateKey(ctx, p.Org.ID, req.GetId(), graceFrom(req.GetGrace()))
	if err != nil {
		return nil, err
	}
	return &modfarmv1.RotateAPIKeyResponse{Key: keyTo(p.Org, key), Secret: secret}, nil
}

func graceFrom(d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.AsDuration()
}

func farmOrganization(o account.Org) *modfarmv1.FarmOrganization {
	return &modfarmv1.FarmOrganization{Id: o.ID, Name: o.Name, Namespace: o.Namespace, CreatedAt: timestamppb.New(o.CreatedAt)}
}

func keyTo(o account.Org, k account.Key) *modfarmv1.APIKey {
	out := &modfarmv1.APIKey{
		Id: k.ID, Name: k.Name, Role: string(k.Role), CreatedAt: moment(k.CreatedAt), ExpiresAt: moment(k.ExpiresAt),
		RotatedAt: moment(k.RotatedAt), UsedAt: moment(k.UsedAt), OldSecretUntil: moment(k.OldUntil),
		Workflow: workflowTo(o, k.Workflow),
	}
	if k.Module != "" {
		out.ScopeModuleId = module.ID{Namespace: o.Prefix(), Name: k.Module}.String()
	}
	return out
}
