package api

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/module"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
)

type authService struct{ s *server }

// typeAPIKey is the only kind of credentials that this farm knows so far.
const typeAPIKey = "api-key"

// Authenticate turns an API key into a token.
func (a authService) Authenticate(ctx context.Context, req *rpcv1.AuthenticateRequest) (*rpcv1.AuthenticateResponse, error) {
	if call, ok := connect.CallInfoForHandlerContext(ctx); ok && call.RequestHeader().Get("Authorization") != "" {
		return nil, fmt.Errorf("%w: a login must not carry an authorization entry; remove it", module.ErrInvalid)
	}
	c := req.GetCredentials()
	if c == nil {
		return nil, module.Fault{Path: "credentials", Problem: "missing", Advice: "send the type api-key and the key as payload"}
	}
	if c.GetType() != typeAPIKey {
		return nil, module.Fault{Path: "credentials.type", Value: c.GetType(), Problem: "not a kind of login that this farm knows", Advice: "use api-key"}
	}
	p, err := a.s.accounts.Authenticate(ctx, req.GetEntity(), c.GetPayload())
	if err != nil {
		return nil, a.s.accounts.Slow(ctx, peerOf(ctx), err)
	}
	return &rpcv1.AuthenticateResponse{AccessToken: a.s.accounts.IssueToken(p)}, nil
}
