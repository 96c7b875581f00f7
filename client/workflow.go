package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/module"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
)

// WorkflowKey is a short-lived key that a workflow run was given for its identity.
type WorkflowKey struct {
	// KeyID and Secret are the key. Nobody shows the secret again.
	KeyID, Secret string
	// ExpiresAt is when it ends, by the farm's clock; Lifetime is how long it is good from the answer on.
	ExpiresAt time.Time
	Lifetime  time.Duration
	// Organization is the one that it acts for.
	Organization Organization
	module.WorkflowRun
}

// ExchangeIDToken turns the identity of a workflow run, an id token that the code host signed with the farm's address
// as audience, into a key for its repository and tag. It works on a client without a key. organization is a namespace
// or id, needed only where several have linked the repository, and empty otherwise. A token is good for one exchange.
// One that is wrong wraps module.ErrUnauthorized; a run that gets no key, module.ErrForbidden.
func (c *Client) ExchangeIDToken(ctx context.Context, idToken, organization string) (WorkflowKey, error) {
	res, err := c.open.ExchangeIDToken(ctx, &modfarmv1.ExchangeIDTokenRequest{IdToken: idToken, Organization: organization})
	if err != nil {
		return WorkflowKey{}, c.fromRPC(ctx, err)
	}
	var r reader
	key := WorkflowKey{
		KeyID: res.GetKeyId(), Secret: res.GetSecret(), ExpiresAt: moment(res.GetExpiresAt()), Lifetime: res.GetLifetime().AsDuration(),
		Organization: organizationFrom(res.GetOrganization()),
		WorkflowRun: module.WorkflowRun{
			Repository: res.GetRepository(), Ref: res.GetRef(), Commit: res.GetSha(), Modules: res.GetModules(),
		},
	}
	key.Version = parse(&r, "a version", res.GetVersion(), module.ParseVersion)
	return key, r.err
}

func workflowFrom(p *modfarmv1.WorkflowRun) *module.WorkflowRun {
	if p == nil {
		return nil
	}
	v, _ := module.ParseVersion(p.GetVersion()) // empty for a branch
	return &module.WorkflowRun{
		Repository: p.GetRepository(), Ref: p.GetRef(), Commit: p.GetSha(), Version: v, Modules: p.GetModules(), RunID: p.GetRunId(), Actor: p.GetActor(),
	}
}

const (
	// renewAfter is which part of a key's life passes before another one is asked for, in percent.
	renewAfter = 80
	// renewAgain is how long a renewal that failed waits while the present key is still good.
	renewAgain = 30 * time.Second
)

// renewed asks for a key when there is none or it ends soon. While the old one is good a failure is no error: it is
// tried again. The caller holds mu.
func (a *authenticator) renewed(ctx context.Context) error {
	now := time.Now()
	if a.renew == nil || now.Before(a.due) {
		return nil
	}
	key, err := a.renew(ctx)
	if err != nil {
		if a.current != "" && now.Add(renewAgain).Before(a.ends) {
			a.due = now.Add(renewAgain)
			return nil
		}
		return fmt.Errorf("renew the key of the workflow run: %w", err)
	}
	// The farm's clock and this one may differ: what counts is how long ago it was asked for.
	a.keyID, a.key, a.current = key.KeyID, key.Secret, ""
	a.due, a.ends = now.Add(key.Lifetime*renewAfter/100), now.Add(key.Lifetime)
	return nil
}

// codeOf is the code of a failure to renew, so that callers still see what kind it is.
func codeOf(err error) connect.Code {
	for code, kind := range map[connect.Code]error{
		connect.CodeUnavailable: module.ErrUnavailable, connect.CodePermissionDenied: module.ErrForbidden,
		connect.CodeInvalidArgument: module.ErrInvalid, connect.CodeNotFound: module.ErrNotFound,
	} {
		if errors.Is(err, kind) {
			return code
		}
	}
	return connect.CodeUnauthenticated
}
