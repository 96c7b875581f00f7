package client

import (
	"time"

	"github.com/modfarm/modfarm/module"
)

// Organization owns modules and keys.
type Organization struct {
	// ID is a UUID.
	ID string `json:"id"`
	// Name is for people.
	Name string `json:"name"`
	// Namespace is what its public modules begin with; may be empty.
	Namespace string `json:"namespace,omitempty"`
}

// Build is one request to build a module at one commit for some platforms. Its JSON, and that of what
// it holds, is what the command line prints with --json: names are added, and never change.
type Build struct {
	ID     string    `json:"id"`
	OrgID  string    `json:"org_id"`
	Module module.ID `json:"module"`
	// Version is zero when the build publishes nothing.
	Version module.Version `json:"version"`
	// Repo is empty for a build of uploaded source, see Uploaded.
	Repo string `json:"repo"`
	Ref  string `json:"ref"`
	// Commit is the full id that Ref resolved to; empty until then.
	Commit      string         `json:"commit,omitempty"`
	Workdir     string         `json:"workdir"`
	Distro      string         `json:"distro,omitempty"`
	Publish     module.Publish `json:"publish,omitempty"`
	RequestedBy string         `json:"requested_by,omitempty"`
	// NoCache says that it finds nothing of earlier builds, and leaves nothing to later ones.
	NoCache bool `json:"no_cache,omitempty"`
	// FailFast says that the other platforms are cancelled when one fails or is refused.
	FailFast  bool      `json:"fail_fast,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// EndedAt is zero until the last job has ended.
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Jobs are sorted by platform.
	Jobs []Job `json:"jobs"`
}

// Uploaded reports whether the build is of uploaded source: then there is no repository and no ref, and the
// commit is the SHA-256 of the source archive.
func (b Build) Uploaded() bool { return b.Repo == "" }

// Done reports whether no job of the build can change any more.
func (b Build) Done() bool {
	for _, j := range b.Jobs {
		if !j.Terminal {
			return false
		}
	}
	return len(b.Jobs) > 0
}

// OK reports whether every job of the build succeeded.
func (b Build) OK() bool {
	for _, j := range b.Jobs {
		if !j.OK() {
			return false
		}
	}
	return len(b.Jobs) > 0
}

// JobState is where a job stands. A farm of a later version may send others than these.
type JobState string

// The states of a job.
const (
	// JobQueued waits for a worker.
	JobQueued JobState = "queued"
	// JobResolving waits for its ref to become a commit.
	JobResolving JobState = "resolving"
	// JobRunning is with a worker.
	JobRunning JobState = "running"
	// JobPublishing has its archive with the farm.
	JobPublishing JobState = "publishing"
	// JobWaiting waits for the other platforms of a build that publishes all or none.
	JobWaiting JobState = "waiting"
	// JobPublished succeeded: its Release is in the registry.
	JobPublished JobState = "published"
	// JobBuilt succeeded and had no version to publish.
	JobBuilt JobState = "built"
	// JobFailed ended by a script's or the farm's fault; Reason says which.
	JobFailed JobState = "failed"
	// JobRefused ended because of what it would have published; Reason says why.
	JobRefused JobState = "refused"
	// JobCancelled was ended by somebody.
	JobCancelled JobState = "cancelled"
)

// Job is one platform of a build.
type Job struct {
	ID       string          `json:"id"`
	BuildID  string          `json:"build_id"`
	Platform module.Platform `json:"platform"`
	State    JobState        `json:"state"`
	// Terminal says that State is final.
	Terminal bool `json:"terminal"`
	// Step is what runs or ran last.
	Step string `json:"step,omitempty"`
	// Reason is one sentence with the next step, for everything but success.
	Reason string `json:"reason,omitempty"`
	// Attempt counts from 1.
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker,omitempty"`
	// Strategy is StrategyAuto while it is not decided.
	Strategy module.Strategy `json:"strategy,omitempty"`
	// FallbackFrom is the strategy that turned out not to work before; usually StrategyAuto.
	FallbackFrom module.Strategy `json:"fallback_from,omitempty"`
	// CancelRequested says that the worker was asked to stop but has not yet.
	CancelRequested bool `json:"cancel_requested,omitempty"`
	// Report is what the worker told about how it builds or built; nil before.
	Report *module.BuildReport `json:"report,omitempty"`
	// Waiting says in parts what the job waits for; only Client.Build fills it in, and only while it waits.
	Waiting *Waiting `json:"waiting,omitempty"`
	// Release is what was or will be published; nil before an archive was accepted.
	Release   *module.Release `json:"release,omitempty"`
	CreatedAt time.Time       `json:"created_at"`
	// QueuedAt is since when a worker may take it; zero before.
	QueuedAt time.Time `json:"queued_at,omitzero"`
	// Memory is what modfarm.yaml says that building it takes, in bytes; zero is the farm's default.
	Memory int64 `json:"memory,omitempty"`
	// StartedAt and EndedAt are zero until then.
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// LogSize is the size of the log so far, in bytes.
	LogSize int64 `json:"log_size"`
}

// OK reports whether the job succeeded.
func (j Job) OK() bool { return j.State == JobPublished || j.State == JobBuilt }

// Waiting says what a job that no worker has waits for. Job.Reason says the same in one sentence.
type Waiting struct {
	// Cause is resolving, no_worker, strategy, native, memory, slot, platforms or registry.
	Cause string `json:"cause"`
	// Position is its place among the jobs that wait for a worker of its platform, from 1; 0 when it waits for
	// something else.
	Position int `json:"position,omitempty"`
	// BuildsAhead are the builds of its own organization before it, at most twenty; OthersAhead counts jobs of others.
	BuildsAhead []string `json:"builds_ahead,omitempty"`
	OthersAhead int      `json:"others_ahead"`
	// Until is what would have to be true for it to go on.
	Until string `json:"until"`
	// HeldUntil is how long it is kept for a native worker; zero when it is not.
	HeldUntil time.Time `json:"held_until,omitzero"`
	// Workers are those that may take it.
	Workers []string `json:"workers,omitempty"`
}

// LogChunk is a piece of one step's output at a byte offset of the job's whole log.
type LogChunk struct {
	Offset int64
	Step   string
	Data   []byte
}

// Worker says who asks for work and which platforms it can build by which strategy.
type Worker struct {
	Name   string            `json:"name"`
	Native []module.Platform `json:"native,omitempty"`
	Cross  []module.Platform `json:"cross,omitempty"`
	QEMU   []module.Platform `json:"qemu,omitempty"`
	// Memory is what it has for builds, in bytes, and MemoryFree what is left of that; zero Memory is not known, and
	// then does not count.
	Memory     int64 `json:"memory,omitempty"`
	MemoryFree int64 `json:"memory_free,omitempty"`
	// Slots is how many jobs it builds at a time, and SlotsFree how many of those are free; zero Slots is not known.
	Slots     int `json:"slots,omitempty"`
	SlotsFree int `json:"slots_free,omitempty"`
	// Labels are for people.
	Labels []string `json:"labels,omitempty"`
	// Draining says that it takes no more jobs, because it is about to stop.
	Draining bool `json:"draining,omitempty"`
	// NextLease is the token that the lease of its next job is to have: 32 random characters or more, the same until Claim
	// gave a job, and never again. So a claim whose answer was lost is answered again. Empty leaves it to the farm.
	NextLease string `json:"-"`
}

// Assignment is a job with all that building it needs.
type Assignment struct {
	Lease Lease
	Job   Job
	// Build is without its Jobs.
	Build Build
	// Token is for the checkout of this build's repository only; secret, may be empty.
	Token string
	// Strategies are allowed, in order of preference.
	Strategies []module.Strategy
	// Manifest is meta.json of the commit.
	Manifest *module.Manifest
	// Settings are modfarm.yaml of the commit, never nil.
	Settings *module.Settings
}

// Lease is a job held for a time. It must be extended before TTL has passed.
type Lease struct {
	LeaseRef
	TTL time.Duration
}

// LeaseRef names a held job and proves that it is held.
type LeaseRef struct {
	JobID string
	// Token is secret.
	Token string
}

// Progress is what a worker does now; empty fields keep what was said before.
type Progress struct {
	Step     string
	Strategy module.Strategy
	// Report is how it builds, as far as that is known; nil keeps what was said before.
	Report *module.BuildReport
}

// Directive is the farm's answer to Progress.
type Directive struct {
	// Cancel says to stop the job.
	Cancel bool
	// TTL is how long the lease lasts from now.
	TTL time.Duration
}

// OutcomeKind says how a worker's attempt at a job ended.
type OutcomeKind int

// The outcomes.
const (
	// OutcomeDone built, and sent an archive that was accepted if there was one to publish.
	OutcomeDone OutcomeKind = iota + 1
	// OutcomeFailed is the module's own fault and never retried.
	OutcomeFailed
	// OutcomeFault is the worker's or the network's fault and tried again a few times.
	OutcomeFault
	// OutcomeFallback showed that the module cannot be built by this strategy for the platform.
	OutcomeFallback
	// OutcomeRefused found the archive or the repository against a rule; never retried.
	OutcomeRefused
	// OutcomeReturned gives the job back because the worker stops; the attempt does not count.
	OutcomeReturned
)

// Outcome is the end of an attempt.
type Outcome struct {
	Kind OutcomeKind
	// Reason is one sentence with the next step, for all kinds but OutcomeDone and OutcomeReturned.
	Reason   string
	Strategy module.Strategy
	// Report is how it was built; nil keeps what was said before.
	Report *module.BuildReport
}

// Archive is what the farm found in an archive that it accepted.
type Archive struct {
	// SHA256 and TarSHA256 are hex digests of the file and of the tar inside it.
	SHA256, TarSHA256 string
	CRC32C            uint32
	// Size is the size of the file in bytes, TarSize that of the tar inside it.
	Size, TarSize int64
	Entries       int
	// Warnings are worth showing to the author.
	Warnings []string
}

// Package is a published archive as a machine downloads it.
type Package struct {
	// ID is "acme/widget".
	ID string
	// Version is "1.2.3-linux-amd64".
	Version string
	URL     string
	// SHA256 is the hex digest of the file.
	SHA256 string
	// Size is in bytes.
	Size      int64
	CreatedAt time.Time
}
