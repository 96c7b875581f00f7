package farm

import (
	"time"

	"github.com/modfarm/modfarm/module"
)

// Build is one request to build one commit of a module for some platforms.
type Build struct {
	// ID is a UUID.
	ID string
	// OrgID is the organization the module belongs to.
	OrgID string
	// Module is the module, spelled with its public namespace where it has one.
	Module module.ID
	// Version is what the archives are published as; the zero Version builds and publishes nothing.
	Version module.Version
	// Repo is the repository's URL, without credentials; empty for uploaded source, see Uploaded.
	Repo string
	// Ref is what was asked for: a tag, a branch or a commit.
	Ref string
	// Commit is the full commit that Ref meant when the build was resolved; empty before.
	Commit string
	// Workdir is the folder of meta.json within the repository, "." for its root.
	Workdir string
	// Distro is the Debian release of the builder image; empty until resolved when the request named none.
	Distro string
	// Publish says whether platforms are published as they finish or together; PublishEach until resolved.
	Publish module.Publish
	// Manifest is the meta.json of Commit; nil until resolved.
	Manifest *module.Manifest
	// Settings is the modfarm.yaml of Commit, or the defaults; nil until resolved.
	Settings *module.Settings
	// RequestedBy names who asked, for people.
	RequestedBy string
	// NoCache says that it finds nothing of earlier builds, and leaves nothing to later ones.
	NoCache bool
	// AskedPublish is what the request said about Publish; empty leaves it to modfarm.yaml.
	AskedPublish module.Publish
	// FailFast cancels the other platforms when one fails or is refused.
	FailFast bool
	// CreatedAt is when the build was asked for; EndedAt when its last job ended, zero before.
	CreatedAt, EndedAt time.Time
	// Jobs are one per platform, sorted by platform.
	Jobs []Job
}

// Job is one platform of a build.
type Job struct {
	// ID is a UUID; BuildID the build's.
	ID, BuildID string
	// Platform is what is built for.
	Platform module.Platform
	// State is where the job stands.
	State JobState
	// Step is what it does now, in the worker's words, for example "build".
	Step string
	// Reason answers why the job waits, was refused, failed or was cancelled: one sentence with the next step.
	// Empty while it runs and when it is done.
	Reason string
	// Attempt counts the workers that took the job up, from 1; 0 before the first.
	Attempt int
	// Worker is the name of the last worker that took it up; empty before.
	Worker string
	// Strategy is how it is being or was built; empty before that is known.
	Strategy module.Strategy
	// FallbackFrom is the strategy that turned out not to work before Strategy was used; usually empty.
	FallbackFrom module.Strategy
	// Report is what its worker told about how it builds or built; nil before.
	Report *module.BuildReport
	// Release is the staged archive, and once published the release; nil before.
	Release *module.Release
	// CancelRequested says that the worker was asked to stop but has not yet.
	CancelRequested bool
	// CreatedAt is when the build was asked for, StartedAt when the last worker took the job up, EndedAt when it ended;
	// zero before that.
	CreatedAt, StartedAt, EndedAt time.Time
	// QueuedAt is since when it may be claimed; zero before.
	QueuedAt time.Time
	// Memory is what modfarm.yaml says that building it takes, in bytes; zero is the default.
	Memory int64
	// Wait says in parts what it waits for; only Explain fills it in, and only while it waits.
	Wait *Wait
	// LogSize is the length of the log in bytes.
	LogSize int64
}

// BuildFilter says which builds to list. Zero fields do not narrow.
type BuildFilter struct {
	// OrgID keeps builds of one organization.
	OrgID string
	// Module keeps builds of one module.
	Module module.ID
	// Version keeps builds of one version.
	Version module.Version
	// BuildID keeps one build.
	BuildID string
	// Limit bounds the number of builds; 0 is 100.
	Limit int
}

// Submission asks for a build.
type Submission struct {
	// OrgID is the organization that asks; it must own the module.
	OrgID string
	// Module must exist.
	Module module.ID
	// Version is what to publish as; zero builds and publishes nothing.
	Version module.Version
	// Source is the SHA-256 of source that was uploaded; then Repo, Ref and Token are empty.
	Source string
	// Repo is an http(s) URL without credentials.
	Repo string
	// Ref is a tag, a branch or a commit; empty is "main".
	Ref string
	// Confirm is a full ref that must name the commit Ref when the build is asked for; empty asks for no such thing. It
	// is for callers that know a ref and its commit from elsewhere.
	Confirm string
	// Token lets the farm and its workers read the repository; may be empty. It is kept sealed until the build ends.
	Token string
	// Workdir is the folder of meta.json; empty is the root.
	Workdir string
	// Distro overrides meta.json's; may be empty.
	Distro string
	// Platforms are what to build for, each once.
	Platforms []module.Platform
	// RequestedBy names who asks, for people.
	RequestedBy string
	// NoCache builds without what earlier builds kept, and keeps nothing for later ones.
	NoCache bool
	// Publish overrides modfarm.yaml; empty does not.
	Publish module.Publish
	// FailFast cancels the other platforms when one fails or is refused.
	FailFast bool
}

// Worker is who claims, and what it can build how.
type Worker struct {
	// Name is unique among the farm's workers.
	Name string
	// Native, Cross and QEMU are the platforms it can build with that strategy.
	Native, Cross, QEMU []module.Platform
	// Memory is what it has for builds, in bytes, and MemoryFree what is left of that; zero Memory is not known, and
	// then does not count.
	Memory, MemoryFree int64
	// Slots is how many jobs it builds at a time, and SlotsFree how many of those are free; zero Slots is not known.
	Slots, SlotsFree int
	// Labels are for people.
	Labels []string
	// Draining says that it takes no more jobs, because it is about to stop.
	Draining bool
	// NextLease is the token that the lease of its next job is to have, the same until it was given one: so a claim whose
	// answer was lost is answered again. Empty leaves it to the farm. Secret.
	NextLease string
}

// Assignment is a job given to a worker.
type Assignment struct {
	// Lease must be extended and carried by every later call.
	Lease Lease
	// Job is the job; its LogSize is the offset the worker's log begins at.
	Job Job
	// Build is its build, without the other jobs.
	Build Build
	// Token is the checkout token; may be empty. Secret.
	Token string
	// Strategies are what the worker may try, the best first; never empty.
	Strategies []module.Strategy
}

// Lease is the right to work on a job for some time.
type Lease struct {
	// JobID is the job.
	JobID string
	// Token proves the lease. Secret.
	Token string
	// TTL is how long the lease is good for from when it was answered.
	TTL time.Duration
}

// Ref is what later calls carry.
func (l Lease) Ref() LeaseRef { return LeaseRef{JobID: l.JobID, Token: l.Token} }

// LeaseRef names and proves a lease.
type LeaseRef struct{ JobID, Token string }

// Progress is what a worker says when it extends its lease; zero fields change nothing.
type Progress struct {
	// Step is what it does now.
	Step string
	// Strategy is what it builds with. A change from cross to QEMU is a fallback and is remembered for the module.
	Strategy module.Strategy
	// Report is how it builds, as far as that is known.
	Report *module.BuildReport
}

// Directive is what the farm answers to a worker that extends its lease.
type Directive struct {
	// Cancel asks the worker to stop and to Finish with OutcomeFailed; the job becomes cancelled.
	Cancel bool
	// TTL is how long the lease is good for from now.
	TTL time.Duration
}

// LogChunk is a piece of a job's log.
type LogChunk struct {
	// Offset is where Data begins in the log, in bytes.
	Offset int64
	// Step is the build step that wrote it.
	Step string
	// Data is raw output of that step.
	Data []byte
}

// OutcomeKind says how a worker ended with a job.
type OutcomeKind string

// The kinds of Outcome.
const (
	// OutcomeDone: the archive was built, and staged where the build has a version.
	OutcomeDone OutcomeKind = "done"
	// OutcomeFailed: the build failed; final.
	OutcomeFailed OutcomeKind = "failed"
	// OutcomeRefused: the archive or the repository is against a rule; final.
	OutcomeRefused OutcomeKind = "refused"
	// OutcomeFault: the worker's machine failed, not the build; tried again, at most MaxAttempts times.
	OutcomeFault OutcomeKind = "fault"
	// OutcomeFallback: the strategy cannot build this module; remembered, and the job queued for another strategy
	// without counting the attempt.
	OutcomeFallback OutcomeKind = "fallback"
	// OutcomeReturned: the worker stops and gives the job back; queued without counting the attempt.
	OutcomeReturned OutcomeKind = "returned"
)

// Outcome is how a worker ended with a job.
type Outcome struct {
	Kind OutcomeKind
	// Reason is one sentence for people: the cause, then the next step. Required for every kind but done and returned.
	Reason string
	// Strategy is what the job was built with; empty keeps what Extend told.
	Strategy module.Strategy
	// Report is how it was built; nil keeps what Extend told.
	Report *module.BuildReport
}
