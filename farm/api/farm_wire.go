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
		NoCache: b.NoCache, FailFast: b.FailFast,
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
		Attempt: count(j.Attempt), Worker: j.Worker,
		Strategy: string(j.Strategy), FallbackFrom: string(j.FallbackFrom), CancelRequested: j.CancelRequested,
		Release: releaseTo(j.Release), Report: reportTo(j.Report), Waiting: waitingTo(j.Wait),
		QueuedAt: moment(j.QueuedAt), Memory: j.Memory,
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
		Report: reportTo(r.Report),
	}
}

func reportTo(r *module.BuildReport) *modfarmv1.BuildReport {
	if r == nil {
		return nil
	}
	out := &modfarmv1.BuildReport{BuildImage: r.Image, Environment: r.Environment}
	if g := r.Glibc; g != nil {
		out.Glibc = &modfarmv1.Glibc{Version: g.Version, Symbol: g.Symbol, File: g.File}
	}
	if s := r.Smoke; s != nil {
		out.Smoke = &modfarmv1.Smoke{Verdict: s.Verdict, Detail: s.Detail}
	}
	return out
}

func reportFrom(p *modfarmv1.BuildReport) *module.BuildReport {
	if p == nil {
		return nil
	}
	out := &module.BuildReport{Image: p.GetBuildImage(), Environment: p.GetEnvironment()}
	if g := p.GetGlibc(); g != nil {
		out.Glibc = &module.GlibcNeed{Version: g.GetVersion(), Symbol: g.GetSymbol(), File: g.GetFile()}
	}
	if s := p.GetSmoke(); s != nil {
		out.Smoke = &module.SmokeRun{Verdict: s.GetVerdict(), Detail: s.GetDetail()}
	}
	return out
}

func waitingTo(w *farm.Wait) *modfarmv1.Waiting {
	if w == nil {
		return nil
	}
	return &modfarmv1.Waiting{
		Cause: string(w.Cause), Position: count(w.Position), BuildsAhead: w.BuildsAhead, OthersAhead: count(w.OthersAhead),
		Until: w.Until, HeldUntil: moment(w.HeldUntil), Workers: w.Workers,
	}
}

// count is a number of things for the wire, bounded.
func count(n int) int32 {
	return int32(min(n, 1<<30)) //nolint:gosec // bounded
}

// moment leaves a time that has not come out.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
