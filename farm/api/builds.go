package api

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/build/v1/buildv1connect"
)

// buildService is builds as stock clients see them. What is not written here is Unimplemented.
type buildService struct {
	buildv1connect.UnimplementedBuildServiceHandler
	*server
}

// StartBuild submits a build of the caller's module.
func (s buildService) StartBuild(ctx context.Context, req *buildv1.StartBuildRequest) (*buildv1.StartBuildResponse, error) {
	p, err := caller(ctx, account.RolePublisher)
	if err != nil {
		return nil, err
	}
	sub, err := s.submission(ctx, p, req)
	if err != nil {
		return nil, err
	}
	build, err := s.farm.Submit(ctx, sub)
	if err != nil {
		return nil, err
	}
	return &buildv1.StartBuildResponse{BuildId: build.ID}, nil
}

// submission reads a request for a build of a module of the caller's.
func (s *server) submission(ctx context.Context, p account.Principal, req *buildv1.StartBuildRequest) (farm.Submission, error) {
	sub, err := submissionFrom(p, req)
	if err != nil {
		return sub, err
	}
	m, err := s.registry.OwnModule(ctx, p.Org.ID, sub.Module)
	sub.Module = m.ID()
	return sub, err
}

// submissionFrom reads a request; the farm checks what it means. What is present but empty is unset.
func submissionFrom(p account.Principal, req *buildv1.StartBuildRequest) (farm.Submission, error) {
	var faults module.Faults
	collect := func(field string, err error) {
		if fault, ok := errors.AsType[module.Fault](at(field, err)); ok {
			faults = append(faults, fault)
		}
	}
	sub := farm.Submission{
		OrgID: p.Org.ID, RequestedBy: "key-" + p.KeyID,
		Repo: req.GetRepo(), Ref: req.GetRef(), Token: req.GetToken(), Workdir: req.GetWorkdir(), Distro: req.GetDistro(),
		NoCache: req.GetNoCache(), Publish: module.Publish(req.GetPublish()), FailFast: req.GetFailFast(), Confirm: confirmed(p),
	}
	var err error
	sub.Module, err = module.ParseID(req.GetModuleId())
	collect("module_id", err)
	if s := req.GetModuleVersion(); s != "" {
		sub.Version, err = module.ParseTag(s)
		collect("module_version", err)
	}
	for i, s := range req.GetPlatforms() {
		platform, err := module.ParsePlatform(s)
		collect(fmt.Sprintf("platforms[%d]", i), err)
		sub.Platforms = append(sub.Platforms, platform)
	}
	return sub, faults.Err()
}

// defaultJobs is how many jobs are listed when the caller does not say.
const defaultJobs = 100

// ListJobs lists jobs, those of the newest build first, then by platform.
func (s buildService) ListJobs(ctx context.Context, req *buildv1.ListJobsRequest) (*buildv1.ListJobsResponse, error) {
	p, err := caller(ctx, account.RoleReader)
	if err != nil {
		return nil, err
	}
	limit := int(req.GetMaxJobsLength())
	switch {
	case limit < 0:
		return nil, module.Fault{Path: "max_jobs_length", Value: fmt.Sprint(limit), Problem: "negative", Advice: "leave it out for the default"}
	case limit == 0:
		limit = defaultJobs
	}
	if id := req.GetBuildId(); id != "" {
		build, err := s.ownBuild(ctx, p, id)
		if err != nil {
			return nil, err
		}
		return &buildv1.ListJobsResponse{Jobs: jobInfos([]farm.Build{build}, limit)}, nil
	}
	filter := farm.BuildFilter{OrgID: p.Org.ID, Limit: limit}
	if filter.Module, err = s.ownModuleID(ctx, p, req.GetModuleId()); err != nil {
		return nil, err
	}
	builds, err := s.farm.Builds(ctx, filter)
	if err != nil {
		return nil, err
	}
	return &buildv1.ListJobsResponse{Jobs: jobInfos(builds, limit)}, nil
}

// ownBuild returns a build of the caller's organization that is in the scope of its key; others are not found.
func (s *server) ownBuild(ctx context.Context, p account.Principal, id string) (farm.Build, error) {
	build, err := s.farm.Build(ctx, id)
	if err == nil && (build.OrgID != p.Org.ID || !p.Covers(build.Module) || !sameRun(p, build)) {
		err = fmt.Errorf("%w: no build has the id %q; list the builds to find the right one", module.ErrNotFound, id)
	}
	return build, err
}

// ownModuleID is the registry's spelling of a module id that a caller wrote; empty stays zero.
func (s *server) ownModuleID(ctx context.Context, p account.Principal, text string) (module.ID, error) {
	if text == "" {
		return module.ID{}, nil
	}
	id, err := moduleID(text)
	if err != nil {
		return module.ID{}, err
	}
	m, err := s.registry.OwnModule(ctx, p.Org.ID, id)
	return m.ID(), err
}

func jobInfos(builds []farm.Build, limit int) []*buildv1.JobInfo {
	var infos []*buildv1.JobInfo
	for _, b := range builds {
		for _, j := range b.Jobs {
			if len(infos) == limit {
				return infos
			}
			infos = append(infos, jobInfo(b, j))
		}
	}
	return infos
}

func jobInfo(b farm.Build, j farm.Job) *buildv1.JobInfo {
	started := j.StartedAt
	if started.IsZero() {
		started = b.CreatedAt
	}
	info := &buildv1.JobInfo{
		BuildId: b.ID, Platform: j.Platform.String(), Version: b.Version.String(), Status: jobStatus(j.State),
		StartTime: timestamppb.New(started), BuildStep: optional(j.Step),
	}
	if !j.EndedAt.IsZero() {
		info.EndTime = timestamppb.New(j.EndedAt)
	}
	if j.Step == "" && !j.State.Terminal() {
		info.BuildStep = optional(string(j.State))
	}
	return info
}

// jobStatus never says UNSPECIFIED: the waits of stock clients would not end.
func jobStatus(s farm.JobState) buildv1.JobStatus {
	switch {
	case s.Done():
		return buildv1.JobStatus_JOB_STATUS_DONE
	case s.Terminal():
		return buildv1.JobStatus_JOB_STATUS_FAILED
	}
	return buildv1.JobStatus_JOB_STATUS_IN_PROGRESS
}
