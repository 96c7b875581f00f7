package main

import (
	"context"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
)

// modules tells the farm which modules the registry has.
type modules struct{ registry *registry.Registry }

// Lookup implements farm.Modules.
func (m modules) Lookup(ctx context.Context, id module.ID) (canonical module.ID, orgID string, err error) {
	found, err := m.registry.Module(ctx, registry.ForFarm(), id)
	if err != nil {
		return module.ID{}, "", err
	}
	return found.ID(), found.OrgID, nil
}

// organizations tells GitHub's side which organizations the farm has.
type organizations struct{ accounts *account.Accounts }

// OrgIDs implements github.Organizations.
func (o organizations) OrgIDs(ctx context.Context) ([]string, error) {
	orgs, err := o.accounts.Orgs(ctx)
	ids := make([]string, 0, len(orgs))
	for _, org := range orgs {
		ids = append(ids, org.ID)
	}
	return ids, err
}

// maxManifest bounds meta.json and modfarm.yaml, in bytes.
const maxManifest = 1 << 20

// repositories reads repositories with git for the farm.
type repositories struct{ git *source.Git }

func newRepositories(allowPrivate bool) repositories {
	return repositories{&source.Git{Policy: source.Policy{AllowPrivate: allowPrivate}}}
}

// Resolve implements farm.Source.
func (r repositories) Resolve(ctx context.Context, repo, ref, token string) (string, error) {
	return r.git.Resolve(ctx, source.Repository{URL: repo, Token: token}, ref)
}

// ReadFiles implements farm.Source.
func (r repositories) ReadFiles(ctx context.Context, repo, commit, token string, paths []string) (map[string][]byte, error) {
	return r.git.ReadFiles(ctx, source.Repository{URL: repo, Token: token}, commit, paths, maxManifest)
}
