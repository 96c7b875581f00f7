package api

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

func buildTo(b farm.Build) *modfarmv1.Build {
	out := &modfarmv1.Build{
		Id: b.ID, OrganizationId: b.OrgID, ModuleId: b.Module.String(), Version: b.Version.String(),
		Repo: b.Repo, Ref: b.Ref, Commit: b.Commit, Workdir: b.Workdir, Distro: b.Distro,
		Publish: string(b.Publish), RequestedBy: b.RequestedBy, CreatedAt: moment(b.CreatedAt), EndedAt: moment(b.EndedAt),
	}
	for _, j := range b.Jobs {
		out.Jobs = append(out.Jobs, jobTo(j))
	}
	return out
}

func jobTo(j farm.Job) *modfarmv1.Job {
	return &modfarmv1.Job{
		Id: j.ID, BuildId: j.BuildID, Platform: j.Platform.String(),
		State: string(j.State), Terminal: j.State.Terminal(), Step: j.Step, Reason: j.Reason,
		Attempt: int32(min(j.Attempt, 1<<20)), Worker: j.Worker, //nolint:gosec // bounded
		Strategy: string(j.Strategy), FallbackFrom: string(j.FallbackFrom), CancelRequested: j.CancelRequested,
		Release:   releaseTo(j.Release),
		CreatedAt: moment(j.CreatedAt), StartedAt: moment(j.StartedAt), EndedAt: moment(j.EndedAt), LogSize: j.LogSize,
	}
}

func releaseTo(r *module.Release) *modfarmv1.Release {
	if r == nil {
		return nil
	}
	return &modfarmv1.Release{
		ModuleId: r.ID.String(), Version: r.Version.String(), Platform: r.Platform.String(), Tags: r.Tags,
		Commit: r.Commit, BuildId: r.BuildID, Strategy: string(r.Strategy),
		Size: r.Size, Sha256: r.SHA256, TarSha256: r.TarSHA256, Crc32C: r.CRC32C,
		Entrypoint: r.Entrypoint, Warnings: r.Warnings, PublishedAt: moment(r.PublishedAt),
	}
}

// moment leaves a time that has not come out.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
