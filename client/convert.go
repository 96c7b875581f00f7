package client

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// reader collects the first error of many small conversions.
type reader struct{ err error }

func parse[T any](r *reader, field, s string, f func(string) (T, error)) (v T) {
	if r.err != nil || s == "" {
		return v
	}
	v, err := f(s)
	if err != nil {
		r.err = fmt.Errorf("the farm sent %s %q that this program cannot read (%w); are their versions far apart?", field, s, err)
	}
	return v
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func buildFrom(p *modfarmv1.Build) (Build, error) {
	var r reader
	b := Build{
		ID: p.GetId(), OrgID: p.GetOrganizationId(),
		Module:  parse(&r, "a module id", p.GetModuleId(), module.ParseID),
		Version: parse(&r, "a version", p.GetVersion(), module.ParseVersion),
		Repo:    p.GetRepo(), Ref: p.GetRef(), Commit: p.GetCommit(), Workdir: p.GetWorkdir(), Distro: p.GetDistro(),
		Publish: module.Publish(p.GetPublish()), RequestedBy: p.GetRequestedBy(),
		CreatedAt: moment(p.GetCreatedAt()), EndedAt: moment(p.GetEndedAt()),
		NoCache: p.GetNoCache(), FailFast: p.GetFailFast(),
	}
	for _, pj := range p.GetJobs() {
		b.Jobs = append(b.Jobs, r.job(pj))
	}
	return b, r.err
}

func (r *reader) job(p *modfarmv1.Job) Job {
	return Job{
		ID: p.GetId(), BuildID: p.GetBuildId(),
		Platform: parse(r, "a platform", p.GetPlatform(), module.ParsePlatform),
		State:    JobState(p.GetState()), Terminal: p.GetTerminal(), Step: p.GetStep(), Reason: p.GetReason(),
		Attempt: int(p.GetAttempt()), Worker: p.GetWorker(), Strategy: module.Strategy(p.GetStrategy()),
		FallbackFrom: module.Strategy(p.GetFallbackFrom()), CancelRequested: p.GetCancelRequested(),
		Release: r.release(p.GetRelease()), Report: reportFrom(p.GetReport()), Waiting: waitingFrom(p.GetWaiting()),
		QueuedAt: moment(p.GetQueuedAt()), Memory: p.GetMemory(),
		CreatedAt: moment(p.GetCreatedAt()), StartedAt: moment(p.GetStartedAt()), EndedAt: moment(p.GetEndedAt()),
		LogSize: p.GetLogSize(),
	}
}

func (r *reader) release(p *modfarmv1.Release) *module.Release {
	if p == nil {
		return nil
	}
	return &module.Release{
		ID:       parse(r, "a module id", p.GetModuleId(), module.ParseID),
		Version:  parse(r, "a version", p.GetVersion(), module.ParseVersion),
		Platform: parse(r, "a platform", p.GetPlatform(), module.ParsePlatform),
		Tags:     p.GetTags(), Commit: p.GetCommit(), BuildID: p.GetBuildId(), Strategy: module.Strategy(p.GetStrategy()),
		Size: p.GetSize(), SHA256: p.GetSha256(), TarSHA256: p.GetTarSha256(), CRC32C: p.GetCrc32C(),
		Entrypoint: p.GetEntrypoint(), Warnings: p.GetWarnings(), PublishedAt: moment(p.GetPublishedAt()),
		Report: reportFrom(p.GetReport()),
	}
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

func waitingFrom(p *modfarmv1.Waiting) *Waiting {
	if p == nil {
		return nil
	}
	return &Waiting{
		Cause: p.GetCause(), Position: int(p.GetPosition()), BuildsAhead: p.GetBuildsAhead(), OthersAhead: int(p.GetOthersAhead()),
		Until: p.GetUntil(), HeldUntil: moment(p.GetHeldUntil()), Workers: p.GetWorkers(),
	}
}

func assignmentFrom(p *modfarmv1.Assignment) (*Assignment, error) {
	b, err := buildFrom(p.GetBuild())
	if err != nil {
		return nil, err
	}
	var r reader
	a := &Assignment{
		Lease: Lease{
			LeaseRef: LeaseRef{JobID: p.GetLease().GetJobId(), Token: p.GetLease().GetToken()},
			TTL:      p.GetLease().GetTtl().AsDuration(),
		},
		Job: r.job(p.GetJob()), Build: b, Token: p.GetCheckoutToken(), Settings: module.DefaultSettings(),
	}
	for _, s := range p.GetStrategies() {
		a.Strategies = append(a.Strategies, parse(&r, "a strategy", s, module.ParseStrategy))
	}
	if m := p.GetManifest(); len(m) > 0 && r.err == nil {
		a.Manifest, r.err = module.ParseManifest(m)
	}
	if s := p.GetSettings(); len(s) > 0 && r.err == nil {
		r.err = json.Unmarshal(s, a.Settings)
	}
	if r.err != nil {
		return nil, r.err
	}
	return a, nil
}

func platformNames(ps []module.Platform) []string {
	out := make([]string, len(ps))
	for i, p := range ps {
		out[i] = p.String()
	}
	return out
}
