package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/oidc"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// ExchangeIDToken gives a workflow run a key for its proved identity.
func (s accountService) ExchangeIDToken(ctx context.Context, req *modfarmv1.ExchangeIDTokenRequest) (*modfarmv1.ExchangeIDTokenResponse, error) {
	if s.workflows == nil || s.links == nil {
		return nil, fmt.Errorf("%w: this farm exchanges no id tokens: use an API key, or ask who runs the farm to set --oidc-issuer", module.ErrForbidden)
	}
	run, err := s.workflows.Verify(ctx, req.GetIdToken())
	if err != nil {
		if left, say := s.unproved.next(time.Now()); say {
			s.log.InfoContext(ctx, "workflow identity refused", "from", peerOf(ctx), "why", err.Error(), "not_logged", left)
		}
		return nil, s.accounts.Slow(ctx, peerOf(ctx), err)
	}
	res, err := s.admitRun(ctx, run, req.GetOrganization())
	if err != nil {
		s.log.InfoContext(ctx, "workflow run refused", append(auditOf(run), "why", err.Error())...)
		return nil, s.accounts.Slow(ctx, peerOf(ctx), err)
	}
	s.log.InfoContext(ctx, "workflow run given a key", append(auditOf(run), "key", res.GetKeyId(),
		"organization", res.GetOrganization().GetId(), "modules", res.GetModules(), "version", res.GetVersion())...)
	return res, nil
}

// unprovedLines bounds how many lines about identities that were not proved the log gets in a minute: anybody may send
// one.
const unprovedLines = 30

// scarce counts lines that strangers cause.
type scarce struct {
	mu          sync.Mutex
	since       time.Time
	lines, left int
}

// next says whether a line may be written now, and how many were not since the last one.
func (s *scarce) next(now time.Time) (left int, say bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) >= time.Minute {
		s.since, s.lines = now, 0
	}
	if s.lines >= unprovedLines {
		s.left++
		return 0, false
	}
	s.lines++
	left, s.left = s.left, 0
	return left, true
}

// auditOf is who a run is, for the log.
func auditOf(run oidc.Run) []any {
	return []any{
		"repository", run.Repository, "repository_id", run.RepositoryNumber, "ref", run.Ref, "sha", run.Commit, "event", run.Event,
		"job_workflow", run.JobWorkflow, "run", run.ID, "actor", run.Actor, "token", run.TokenID,
	}
}

// admitRun makes the key of a run whose identity is proved.
func (s accountService) admitRun(ctx context.Context, run oidc.Run, prefix string) (*modfarmv1.ExchangeIDTokenResponse, error) {
	what, version, err := versionOf(run)
	if err != nil {
		return nil, err
	}
	who := farm.Claimant{Repo: run.Repository, Number: run.RepositoryNumber, OwnerNumber: run.OwnerNumber}
	if prefix != "" {
		org, err := s.accounts.OrgByPrefix(ctx, prefix)
		if err != nil && !errors.Is(err, module.ErrNotFound) {
			return nil, err
		}
		// Which organizations there are is nobody's business: one that does not exist has linked nothing.
		who.OrgID = cmp.Or(org.ID, "none")
	}
	links, err := s.links.Trusted(ctx, who)
	if err != nil {
		return nil, err
	}
	org, err := s.accounts.Org(ctx, links[0].OrgID)
	if err != nil {
		return nil, err
	}
	bound := module.WorkflowRun{
		Repository: links[0].Repo, Ref: run.Ref, Commit: run.Commit, Version: version, RunID: run.ID, Actor: run.Actor,
	}
	if bound.Modules, err = modulesNamed(links, what, run.Ref); err != nil {
		return nil, err
	}
	key, secret, err := s.accounts.CreateWorkflowKey(ctx, org.ID, bound, account.Proof{Issuer: run.Issuer, TokenID: run.TokenID, ExpiresAt: run.ExpiresAt})
	if err != nil {
		return nil, err
	}
	w := workflowTo(org, key.Workflow)
	return &modfarmv1.ExchangeIDTokenResponse{
		KeyId: key.ID, Secret: secret, ExpiresAt: timestamppb.New(key.ExpiresAt), Lifetime: durationpb.New(account.WorkflowKeyLife),
		Organization: farmOrganization(org), Modules: w.GetModules(), Repository: w.GetRepository(), Ref: w.GetRef(), Sha: w.GetSha(), Version: w.GetVersion(),
	}, nil
}

// versionOf is what a run may publish: of a tag the version that it names, and the module where it names one; of a
// branch nothing.
func versionOf(run oidc.Run) (what string, v module.Version, err error) {
	if strings.HasPrefix(run.Event, "pull_request") {
		return "", v, fmt.Errorf("%w: the claim event_name of the id token is %q, and what strangers propose gets no key: build pushes and tags",
			module.ErrForbidden, run.Event)
	}
	if tag, ok := strings.CutPrefix(run.Ref, "refs/tags/"); ok {
		what, v, err = module.SplitTag(tag)
		if err != nil {
			return "", v, fmt.Errorf("%w: the claim ref of the id token is %q: %w", module.ErrForbidden, run.Ref, err)
		}
		return what, v, nil
	}
	if !strings.HasPrefix(run.Ref, "refs/heads/") {
		return "", v, fmt.Errorf("%w: the claim ref of the id token is %q, neither a tag nor a branch: it gets no key", module.ErrForbidden, run.Ref)
	}
	return "", v, nil
}

// modulesNamed are the names of the linked modules that a tag means: "widget/v1.2.3" the one of that name; in a
// repository of one module it may also be the folder.
func modulesNamed(links []farm.RepoLink, what, ref string) ([]string, error) {
	var names []string
	for _, l := range links {
		if what == "" || strings.EqualFold(l.Module.Name, what) {
			names = append(names, l.Module.Name)
		}
	}
	switch {
	case len(names) > 0:
		slices.Sort(names)
		return names, nil
	case len(links) == 1:
		return []string{links[0].Module.Name}, nil
	}
	return nil, fmt.Errorf("%w: the claim ref of the id token is %q, and no module that is linked with the repository has the name %q: tag NAME/v1.2.3 with the name of one",
		module.ErrForbidden, ref, what)
}

func workflowTo(org account.Org, w *module.WorkflowRun) *modfarmv1.WorkflowRun {
	if w == nil {
		return nil
	}
	out := &modfarmv1.WorkflowRun{Repository: w.Repository, Ref: w.Ref, Sha: w.Commit, Version: w.Version.String(), RunId: w.RunID, Actor: w.Actor}
	for _, name := range w.Modules {
		out.Modules = append(out.Modules, module.ID{Namespace: org.Prefix(), Name: name}.String())
	}
	return out
}
