package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/gen/modfarm/v1/modfarmv1connect"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/build/v1/buildv1connect"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
	"github.com/modfarm/modfarm/proto/wire"
)

// withoutKey are the calls that need no key, beside the login of the wire contract.
func withoutKey(procedure string) bool {
	return procedure == modfarmv1connect.AccountServiceExchangeIDTokenProcedure
}

// forWorkflows are the calls that the key of a workflow run is good for; every other one is refused, those of later
// days included. Which modules and builds they may name is checked as for keys of one module.
func forWorkflows(procedure string) bool {
	switch procedure {
	case appv1connect.AppServiceListOrganizationsProcedure,
		appv1connect.AppServiceGetOrganizationProcedure,
		modfarmv1connect.AccountServiceWhoAmIProcedure,
		appv1connect.AppServiceUpdateModuleProcedure,
		appv1connect.AppServiceUploadModuleFileProcedure,
		modfarmv1connect.RegistryServiceListReleasesProcedure,
		buildv1connect.BuildServiceStartBuildProcedure,
		buildv1connect.BuildServiceListJobsProcedure,
		buildv1connect.BuildServiceGetLogsProcedure,
		modfarmv1connect.FarmServiceGetBuildProcedure,
		modfarmv1connect.FarmServiceCancelBuildProcedure,
		modfarmv1connect.FarmServiceRetryJobProcedure,
		modfarmv1connect.FarmServiceFollowLogProcedure:
		return true
	}
	return false
}

// checkProcedure refuses calls that are not for workflow runs to their keys.
func checkProcedure(ctx context.Context, spec connect.Spec) error {
	p, ok := ctx.Value(principalKey{}).(account.Principal)
	if !ok || p.Workflow == nil || forWorkflows(spec.Procedure) {
		return nil
	}
	return onlyPublishes(p)
}

func onlyPublishes(p account.Principal) error {
	return fmt.Errorf("%w: key %s is that of a workflow run, which builds and publishes %s at %s and does nothing else: use another key",
		module.ErrForbidden, p.KeyID, p.Workflow.Repository, p.Workflow.Ref)
}

// checkRun holds what the key of a workflow run asks for to its repository, commit and version.
func checkRun(p account.Principal, msg any) error {
	if p.Workflow == nil {
		return nil
	}
	switch m := msg.(type) {
	case *buildv1.StartBuildRequest:
		return pinBuild(p, m)
	case *buildv1.ListJobsRequest:
		if m.GetBuildId() == "" {
			return onlyPublishes(p)
		}
	case *appv1.UpdateModuleRequest:
		return p.RequireVersion(p.Workflow.Version)
	case *appv1.UploadModuleFileRequest:
		if info := m.GetModuleFileInfo(); info != nil {
			v, err := module.ParseVersion(info.GetVersion())
			if err != nil {
				return at("version", err)
			}
			return p.RequireVersion(v)
		}
	}
	return nil
}

// pinBuild checks that a request names the run's repository, ref and version, and makes it one for the run's commit.
func pinBuild(p account.Principal, req *buildv1.StartBuildRequest) error {
	w := p.Workflow
	if repo, err := farm.NormalRepo(req.GetRepo()); err != nil || repo != w.Repository {
		return fmt.Errorf("%w: repo: %q: key %s is that of a workflow run of %s: build that one", module.ErrForbidden, req.GetRepo(), p.KeyID, w.Repository)
	}
	_, short, _ := strings.Cut(strings.TrimPrefix(w.Ref, "refs/"), "/")
	switch req.GetRef() {
	case "", w.Ref, short, w.Commit:
		req.Ref = &w.Commit
	default:
		return fmt.Errorf("%w: ref: %q: key %s is that of a workflow run of %s at commit %s: build that one, or leave it out",
			module.ErrForbidden, req.GetRef(), p.KeyID, w.Ref, w.Commit)
	}
	if req.GetModuleVersion() == "" {
		return nil
	}
	v, err := module.ParseTag(req.GetModuleVersion())
	if err != nil {
		return at("module_version", err)
	}
	return p.RequireVersion(v)
}

// sameRun reports whether a build is one that the caller's workflow run could have started: of the same repository, at
// the same commit, of its version or of none. Other keys have no run to differ from.
func sameRun(p account.Principal, b farm.Build) bool {
	w := p.Workflow
	if w == nil {
		return true
	}
	repo, err := farm.NormalRepo(b.Repo)
	return err == nil && repo == w.Repository && b.Commit == w.Commit && (b.Version.IsZero() || b.Version.Equal(w.Version))
}

// confirmed is the tag that must still name the commit of a workflow run's build. Branches go on all the time, and
// what is built of them is not published.
func confirmed(p account.Principal) string {
	if p.Workflow == nil || p.Workflow.Version.IsZero() {
		return ""
	}
	return p.Workflow.Ref
}

// checkPath holds the key of a workflow run to uploads, of all that goes by plain HTTP.
func checkPath(p account.Principal, r *http.Request) error {
	if p.Workflow == nil || strings.HasPrefix(r.URL.Path, wire.PathUploads) {
		return nil
	}
	return onlyPublishes(p)
}
