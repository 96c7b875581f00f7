package github

import (
	"context"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// Store is what the package needs of a database. farm/store implements it. Missing rows are module.ErrNotFound.
type Store interface {
	AppStore
	DeliveryStore
	AccountStore
	TagStore
	CheckStore
	LinkStore
}

// LinkStore keeps which modules a repository builds, and whose an installation is.
type LinkStore interface {
	farm.LinkStore
	// Unlinked says whether somebody removed the link of a module and a repository.
	Unlinked(ctx context.Context, orgID, moduleName, repo string) (bool, error)
	// MoveRepoLinks lets the links of a repository follow its new name.
	MoveRepoLinks(ctx context.Context, from, to string) error
	// SaveAppLink stores a link, or gives the one that exists another owner: those whom the former one let use it lose it,
	// and the repository links that the App made by it go.
	SaveAppLink(ctx context.Context, l farm.AppLink) error
	// DropAppLink removes a link that is worth nothing any more, and the repository links that the App made by it; those
	// of people stay, without it.
	DropAppLink(ctx context.Context, id string) error
}

// AppStore keeps the one App.
type AppStore interface {
	// App returns the App, sealed.
	App(ctx context.Context) (SealedApp, error)
	// SaveApp replaces the App.
	SaveApp(ctx context.Context, a SealedApp) error
}

// SealedApp is the App as it is stored.
type SealedApp struct {
	// Public is what everybody may see.
	Public App
	// Secrets are the sealed JSON of AppSecrets.
	Secrets []byte
}

// DeliveryStore keeps deliveries of the webhook.
type DeliveryStore interface {
	// AddDeliveries stores those whose GUID is new, in one transaction.
	AddDeliveries(ctx context.Context, list []Delivery) error
	// DueDeliveries returns those to act on, the oldest first.
	DueDeliveries(ctx context.Context, now time.Time, limit int) ([]Delivery, error)
	// SaveDelivery stores how acting on a delivery went. Payloads of those that are done are dropped.
	SaveDelivery(ctx context.Context, d Delivery) error
	// Deliveries returns those with these GUIDs, or the newest for none, without payloads.
	Deliveries(ctx context.Context, guids []string, limit int) ([]Delivery, error)
}

// Delivery is one message of the webhook.
type Delivery struct {
	// GUID is GitHub's id of it; redeliveries have the same.
	GUID          string
	Event, Action string
	Payload       []byte
	ReceivedAt    time.Time
	// Tries counts failures to act on it, and NextAt is when to try again.
	Tries  int
	NextAt time.Time
	// DoneAt is when it had been acted on, and Outcome what came of it.
	DoneAt  time.Time
	Outcome string
}

// AccountStore keeps installations and their repositories.
type AccountStore interface {
	// SaveInstallation stores an installation; an empty OrgID leaves the stored one.
	SaveInstallation(ctx context.Context, in Installation) error
	// Installations returns one by its id, or all for zero.
	Installations(ctx context.Context, id int64) ([]Installation, error)
	// SaveRepositories stores repositories by their ids; times that are zero leave the stored ones.
	SaveRepositories(ctx context.Context, list []Repository) error
	// Repositories returns those that match.
	Repositories(ctx context.Context, f RepositoryFilter) ([]Repository, error)
}

// Installation is the App on one account.
type Installation struct {
	ID      int64
	Account string
	// OrgID is the organization that the account belongs to; empty until somebody said so.
	OrgID string
	// Removed says that it was uninstalled, or is suspended.
	Removed   bool
	UpdatedAt time.Time
}

// Repository is a repository that an installation covers.
type Repository struct {
	// ID is GitHub's, which survives renaming and transfer.
	ID             int64
	InstallationID int64
	FullName       string
	CloneURL       string
	Private        bool
	// Removed says that the installation does not cover it any more.
	Removed bool
	// BaselineAt is when its tags were first listed: those that were there before wait for somebody to ask.
	BaselineAt time.Time
	// SweptAt is when its tags were listed last.
	SweptAt time.Time
	// LinkedOrg is the organization whose modules were looked for in it, to be linked.
	LinkedOrg string
}

// RepositoryFilter says which repositories; zero fields do not narrow.
type RepositoryFilter struct {
	ID             int64
	InstallationID int64
	FullName       string
	// OrgID may build them: its account's, and those that one of its modules is linked with, if they are public or the
	// account's owner lets it use the installation.
	OrgID string
}

// TagStore keeps the ledger.
type TagStore interface {
	// UpdateTag reads a tag of a repository (a new one when there is none), calls fn, and stores what fn made of it, in
	// one transaction. fn may be called again.
	UpdateTag(ctx context.Context, repoID int64, name string, fn func(*Tag) error) error
	// DueTags returns those to look at, the longest due first.
	DueTags(ctx context.Context, now time.Time, limit int) ([]Tag, error)
	// Tags returns those that match, the last changed first.
	Tags(ctx context.Context, f TagFilter) ([]Tag, error)
}

// TagState is what became of a tag.
type TagState string

// The states of a tag.
const (
	// TagWaiting: it was seen, or its builds are under way.
	TagWaiting TagState = "waiting"
	// TagBuilt: all its builds ended well.
	TagBuilt TagState = "built"
	// TagFailed: a build of it failed.
	TagFailed TagState = "failed"
	// TagRefused: nothing is built for it, for a reason.
	TagRefused TagState = "refused"
	// TagMissing: it was there before the App, and nobody asked for it.
	TagMissing TagState = "missing"
	// TagDeleted: it is not there any more.
	TagDeleted TagState = "deleted"
)

// TagStates lists them.
func TagStates() []TagState {
	return []TagState{TagWaiting, TagBuilt, TagFailed, TagRefused, TagMissing, TagDeleted}
}

// Tag is one row of the ledger.
type Tag struct {
	RepoID int64
	// Repository is its full name, filled in when read.
	Repository string
	Name       string
	// Object is what the tag names, Commit the commit behind it.
	Object, Commit string
	State          TagState
	// Reason answers why, in a sentence with the next step.
	Reason string
	// Moved says that it was put on another commit after it was built.
	Moved bool
	// Builds are those that were made of it.
	Builds []TagBuild
	// Source says how it was first seen: webhook, sweep or person.
	Source            string
	SeenAt, ChangedAt time.Time
	// NextAt is when to look at it again; zero for never. Tries counts failures.
	NextAt time.Time
	Tries  int
}

// TagBuild is a build of one module of a tag.
type TagBuild struct {
	Module  module.ID `json:"module"`
	BuildID string    `json:"build_id"`
	State   TagState  `json:"state"`
	Reason  string    `json:"reason,omitempty"`
}

// TagFilter says which tags; zero fields do not narrow.
type TagFilter struct {
	RepoID int64
	// Repository is a full name.
	Repository string
	OrgID      string
	State      TagState
	// Limit is 100 for 0, and none below.
	Limit int
}

// CheckStore keeps what was told about jobs.
type CheckStore interface {
	// SaveCheck stores the check of a job.
	SaveCheck(ctx context.Context, c Check) error
	// DueChecks returns those to look at.
	DueChecks(ctx context.Context, now time.Time, limit int) ([]Check, error)
	// Checks returns those of a job, or of a commit of a repository.
	Checks(ctx context.Context, jobID string, repoID int64, commit string) ([]Check, error)
}

// Check is the check run of one job.
type Check struct {
	JobID, BuildID string
	RepoID         int64
	Commit         string
	// RunID is GitHub's; zero until it was made.
	RunID int64
	// Told is a digest of what GitHub was told last.
	Told string
	// Done says that the conclusion was told.
	Done   bool
	NextAt time.Time
	Tries  int
}
