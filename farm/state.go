package farm

import (
	"fmt"
	"slices"
)

// JobState is where a job stands. Every state but the terminal ones reads "in progress" to foreign clients.
type JobState string

// The states of a job.
const (
	// Resolving: the ref is turned into a commit and its meta.json read.
	Resolving JobState = "resolving"
	// Queued: a worker may claim it.
	Queued JobState = "queued"
	// Running: a worker holds it under a lease.
	Running JobState = "running"
	// Waiting: its archive is staged and waits for the other platforms of a build that publishes all together.
	Waiting JobState = "waiting"
	// Publishing: its archive is being handed to the registry.
	Publishing JobState = "publishing"
	// Published: the release exists. Terminal.
	Published JobState = "published"
	// Built: it built, and as the build has no version nothing was published. Terminal.
	Built JobState = "built"
	// Failed: it could not be built or fetched. Terminal.
	Failed JobState = "failed"
	// Refused: it is against a rule, for example that a version never changes. Terminal.
	Refused JobState = "refused"
	// Cancelled: somebody asked for it to stop. Terminal.
	Cancelled JobState = "cancelled"
)

// States lists every state, in the order of a job's life.
func States() []JobState {
	return []JobState{
		Resolving, Queued, Running, Waiting, Publishing, Published, Built, Failed, Refused, Cancelled,
	}
}

// next is the one table of legal steps.
func next(from JobState) []JobState {
	switch from {
	case Resolving: // published at once when the release of this commit exists already
		return []JobState{Queued, Published, Failed, Refused, Cancelled}
	case Queued: // running also when a lease that ran out is renewed before anybody else claimed the job
		return []JobState{Running, Failed, Cancelled}
	case Running: // queued again when its worker was lost, gave it back, or found that its strategy does not work
		return []JobState{Queued, Waiting, Publishing, Built, Failed, Refused, Cancelled}
	case Waiting:
		return []JobState{Publishing, Failed, Cancelled}
	case Publishing: // not cancelled: the release may exist already
		return []JobState{Published, Failed, Refused}
	default:
		return nil
	}
}

// Terminal says whether a job in this state changes no more by itself. One that went wrong may be retried.
func (s JobState) Terminal() bool { return len(next(s)) == 0 }

// Done says whether the job ended as was asked: published, or built where nothing was to be published.
func (s JobState) Done() bool { return s == Published || s == Built }

// CanBecome says whether a job may go from s to other in one step.
func (s JobState) CanBecome(other JobState) bool { return slices.Contains(next(s), other) }

// step checks one step against the table. An error is a fault of the farm's own code.
func step(from, to JobState) error {
	if !from.CanBecome(to) {
		return fmt.Errorf("job state %q cannot become %q", from, to)
	}
	return nil
}
