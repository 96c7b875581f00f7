package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// WorkflowKeyLife is how long the key of a workflow run is good. A run that takes longer proves itself again.
const WorkflowKeyLife = time.Hour

// collectEvery is how often expired keys of workflow runs are removed.
const collectEvery = time.Minute

// Proof is the identity that a key is given for. It is good once.
type Proof struct {
	Issuer, TokenID string
	// ExpiresAt is when nobody accepts it any more.
	ExpiresAt time.Time
}

// WorkflowStore keeps the keys of workflow runs, beside all others.
type WorkflowStore interface {
	// CreateWorkflowKey stores a key and that its proof is spent. One that is spent already is module.ErrConflict.
	CreateWorkflowKey(ctx context.Context, key Key, proof Proof) error
	// CollectExpired removes what has expired before now: keys of workflow runs, and proofs.
	CollectExpired(ctx context.Context, now time.Time) error
}

// CreateWorkflowKey makes a publisher's key that is bound to a workflow run, for an hour. A proof that was used before
// wraps module.ErrUnauthorized.
func (a *Accounts) CreateWorkflowKey(ctx context.Context, orgID string, w module.WorkflowRun, proof Proof) (Key, string, error) {
	key, secret := a.newKey(orgID, KeySpec{Name: workflowKeyName(w), Role: RolePublisher, Lifetime: WorkflowKeyLife})
	key.Workflow = &w
	err := a.Store.CreateWorkflowKey(ctx, key, proof)
	if errors.Is(err, module.ErrConflict) {
		return Key{}, "", fmt.Errorf("%w: the claim jti of the id token is %q, and a key was given for it already: ask the code host for a new token",
			module.ErrUnauthorized, proof.TokenID)
	}
	if err != nil {
		return Key{}, "", fmt.Errorf("create the key of a workflow run: %w", err)
	}
	return key, secret, nil
}

// workflowKeyName is what lists call the key.
func workflowKeyName(w module.WorkflowRun) string {
	_, path, _ := strings.Cut(w.Repository, "://")
	_, path, _ = strings.Cut(path, "/")
	name := path + " at " + w.Ref[strings.LastIndexByte(w.Ref, '/')+1:]
	return name[:min(len(name), maxKeyName)]
}

// describeWorkflow goes on after "the key".
func describeWorkflow(w *module.WorkflowRun, org Org) string {
	names := make([]string, 0, len(w.Modules))
	for _, m := range w.Modules {
		names = append(names, module.ID{Namespace: org.Prefix(), Name: m}.String())
	}
	return fmt.Sprintf("is that of a workflow run of %s at %s, for %s", w.Repository, w.Ref, strings.Join(names, ", "))
}

// RequireVersion returns nil when the key may publish a version, and otherwise an error that wraps module.ErrForbidden.
// Only keys of workflow runs are held to one.
func (p Principal) RequireVersion(v module.Version) error {
	w := p.Workflow
	switch {
	case w == nil || !w.Version.IsZero() && v.Equal(w.Version):
		return nil
	case w.Version.IsZero():
		return fmt.Errorf("%w: key %s %s, and publishes nothing: a branch builds without a version; push a tag such as v1.2.3 to publish",
			module.ErrForbidden, p.KeyID, describeWorkflow(w, p.Org))
	}
	return fmt.Errorf("%w: key %s %s, and publishes version %s only, not %q: push a tag of that version",
		module.ErrForbidden, p.KeyID, describeWorkflow(w, p.Org), w.Version, v)
}

func (a *Accounts) collect(ctx context.Context) {
	if err := a.Store.CollectExpired(ctx, a.now()); err != nil && ctx.Err() == nil {
		a.log().WarnContext(ctx, "expired keys of workflow runs are not removed; tried again", "error", err)
	}
}
