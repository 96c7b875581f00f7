package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// event is what is read of a payload: names and numbers to look up, never instructions.
type event struct {
	Action       string `json:"action"`
	Ref          string `json:"ref"`
	RefType      string `json:"ref_type"`
	After        string `json:"after"`
	Deleted      bool   `json:"deleted"`
	Installation *struct {
		ID      int64 `json:"id"`
		Account *struct {
			Login string `json:"login"`
		} `json:"account"`
	} `json:"installation"`
	Repository   *eventRepository  `json:"repository"`
	Repositories []eventRepository `json:"repositories"`
	Added        []eventRepository `json:"repositories_added"`
	Removed      []eventRepository `json:"repositories_removed"`
	Release      *struct {
		TagName string `json:"tag_name"`
		Draft   bool   `json:"draft"`
	} `json:"release"`
	CheckRun *struct {
		ExternalID string `json:"external_id"`
		App        struct {
			ID int64 `json:"id"`
		} `json:"app"`
	} `json:"check_run"`
	CheckSuite *struct {
		HeadSHA string `json:"head_sha"`
		App     struct {
			ID int64 `json:"id"`
		} `json:"app"`
	} `json:"check_suite"`
}

type eventRepository struct {
	ID       int64  `json:"id"`
	FullName string `json:"full_name"`
	Private  bool   `json:"private"`
}

// batch is how many rows a loop takes up at a time.
const batch = 64

// maxTries is how often a delivery is tried; the sweep finds what it was about.
const maxTries = 8

// processDeliveries acts on what is stored and due.
func (g *GitHub) processDeliveries(ctx context.Context) error {
	for {
		list, err := g.Store.DueDeliveries(ctx, g.now(), batch)
		if err != nil {
			return err
		}
		for _, d := range list {
			if err := g.process(ctx, d); err != nil {
				return err
			}
		}
		if len(list) < batch {
			return nil
		}
	}
}

// process acts on one delivery and stores how that went.
func (g *GitHub) process(ctx context.Context, d Delivery) error {
	outcome, err := g.act(ctx, d)
	switch {
	case err == nil:
		d.Outcome, d.DoneAt = outcome, g.now()
	case ctx.Err() != nil:
		return ctx.Err()
	case final(err), d.Tries >= maxTries:
		d.Outcome, d.DoneAt = "not acted on: "+err.Error(), g.now()
	default:
		d.NextAt = retryAt(err, d.Tries, g.now())
		d.Outcome = "tried again at " + d.NextAt.Format("15:04:05") + " UTC: " + err.Error()
		if !limited(err) {
			d.Tries++
		}
	}
	g.Log.InfoContext(ctx, "github delivery", "guid", d.GUID, "event", d.Event, "action", d.Action, "outcome", d.Outcome)
	return g.Store.SaveDelivery(ctx, d)
}

// errOtherEvent means that a payload is not what its event's name says.
var errOtherEvent = fmt.Errorf("%w: the payload is not that of this event", module.ErrInvalid)

// act does what a delivery asks for and says what that was.
func (g *GitHub) act(ctx context.Context, d Delivery) (string, error) {
	var e event
	if err := json.Unmarshal(d.Payload, &e); err != nil {
		return "", fmt.Errorf("%w: %w", errOtherEvent, err)
	}
	switch d.Event {
	case "ping":
		return "the webhook works", nil
	case "push":
		if !strings.HasPrefix(e.Ref, "refs/") || e.Repository == nil {
			return "", errOtherEvent
		}
		name, isTag := strings.CutPrefix(e.Ref, "refs/tags/")
		if !isTag {
			return "a branch: only tags are built", nil
		}
		return g.tagEvent(ctx, e, name)
	case "create", "delete":
		if e.Ref == "" || e.Repository == nil {
			return "", errOtherEvent
		}
		if e.RefType != "tag" {
			return "a branch: only tags are built", nil
		}
		return g.tagEvent(ctx, e, e.Ref)
	case "release":
		if e.Release == nil || e.Repository == nil {
			return "", errOtherEvent
		}
		if e.Release.Draft || e.Action == "deleted" {
			return "a draft, or a release that was removed: its tag decides", nil
		}
		return g.tagEvent(ctx, e, e.Release.TagName)
	case "installation":
		return g.installationEvent(ctx, e)
	case "installation_repositories":
		return g.repositoriesEvent(ctx, e)
	case "repository":
		return g.repositoryEvent(ctx, e)
	case "check_run", "check_suite":
		return g.checkEvent(ctx, d.Event, e)
	}
	return "nothing is done for this event", nil
}

// tagEvent puts a tag on the ledger, to be looked at now: what became of it is GitHub's to tell, not the payload's.
func (g *GitHub) tagEvent(ctx context.Context, e event, name string) (string, error) {
	if name == "" {
		return "", errOtherEvent
	}
	repo, err := g.known(ctx, e.Repository.ID)
	if errors.Is(err, module.ErrNotFound) && e.Installation != nil {
		// The first that is heard of the repository: its installation's message may have been lost.
		if err = g.readInstallation(ctx, e.Installation.ID); err == nil {
			repo, err = g.known(ctx, e.Repository.ID)
		}
	}
	if errors.Is(err, module.ErrNotFound) {
		return "no installation covers the repository", nil
	}
	if err != nil {
		return "", err
	}
	if err := g.noticeTag(ctx, repo, name, sourceWebhook); err != nil {
		return "", err
	}
	return "the tag is on the ledger", nil
}

// known is a repository that an installation covers.
func (g *GitHub) known(ctx context.Context, id int64) (Repository, error) {
	list, err := g.Store.Repositories(ctx, RepositoryFilter{ID: id})
	if err != nil {
		return Repository{}, err
	}
	if len(list) == 0 || list[0].Removed {
		return Repository{}, fmt.Errorf("%w: no installation covers the repository %d", module.ErrNotFound, id)
	}
	return list[0], nil
}

// checkEvent builds again what somebody asked for at GitHub.
func (g *GitHub) checkEvent(ctx context.Context, kind string, e event) (string, error) {
	if e.Action != "rerequested" {
		return "only re-runs are acted on", nil
	}
	a, err := g.current(ctx)
	if err != nil {
		return "", err
	}
	switch {
	case kind == "check_run" && e.CheckRun != nil && e.Repository != nil:
		if e.CheckRun.App.ID != a.app.ID {
			return "another App's check", nil
		}
		checks, err := g.Store.Checks(ctx, e.CheckRun.ExternalID, e.Repository.ID, "")
		if err != nil {
			return "", err
		}
		return g.rerun(ctx, checks)
	case kind == "check_suite" && e.CheckSuite != nil && e.Repository != nil:
		if e.CheckSuite.App.ID != a.app.ID {
			return "another App's checks", nil
		}
		checks, err := g.Store.Checks(ctx, "", e.Repository.ID, e.CheckSuite.HeadSHA)
		if err != nil {
			return "", err
		}
		return g.rerun(ctx, checks)
	}
	return "", errOtherEvent
}
