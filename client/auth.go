package client

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/module"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	"github.com/modfarm/modfarm/proto/gen/proto/rpc/v1/rpcv1connect"
)

// authenticator turns an API key into a token before the first call and puts the token on every call.
type authenticator struct {
	login              rpcv1connect.AuthServiceClient
	keyID, key, worker string
	renew              func(context.Context) (WorkflowKey, error)

	mu      sync.Mutex // held while logging in, so that many first calls log in once
	current string
	due     time.Time // when another key is asked for, with renew
	ends    time.Time // when the present one is not good any more
}

// token returns the bearer token, logging in when there is none.
func (a *authenticator) token(ctx context.Context) (string, error) {
	if a.worker != "" {
		return a.worker, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.renewed(ctx); err != nil {
		return "", connect.NewError(codeOf(err), err)
	}
	if a.current != "" {
		return a.current, nil
	}
	if a.keyID == "" || a.key == "" {
		return "", connect.NewError(connect.CodeUnauthenticated, errNoKey())
	}
	res, err := a.login.Authenticate(ctx, &rpcv1.AuthenticateRequest{
		Entity:      a.keyID,
		Credentials: &rpcv1.Credentials{Type: "api-key", Payload: a.key},
	})
	if err != nil {
		return "", err
	}
	a.current = res.GetAccessToken()
	return a.current, nil
}

func errNoKey() error {
	return errors.Join(errors.New("no API key is given; set its id and value"), module.ErrUnauthorized)
}

// forget drops a token that the farm refused, unless a newer one took its place.
func (a *authenticator) forget(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == token {
		a.current, a.due, a.ends = "", time.Time{}, time.Time{}
	}
}

// set puts the token on a plain HTTP request.
func (a *authenticator) set(ctx context.Context, h http.Header) error {
	token, err := a.token(ctx)
	if err != nil {
		return err
	}
	h.Set("Authorization", "Bearer "+token)
	return nil
}

// WrapUnary sends the token, and once more with a new one when the farm refused it: farms are
// restored from backups, and keys are rotated.
func (a *authenticator) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		for again := true; ; again = false {
			token, err := a.token(ctx)
			if err != nil {
				return nil, err
			}
			req.Header().Set("Authorization", "Bearer "+token)
			res, err := next(ctx, req)
			if !again || a.worker != "" || connect.CodeOf(err) != connect.CodeUnauthenticated {
				return res, err
			}
			a.forget(token)
		}
	}
}

// WrapStreamingClient sends the token.
func (a *authenticator) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		// A login that fails here shows itself as the farm's refusal of a call without a token; the
		// callers of streams ask for the token first, so that its own error is seen.
		token, err := a.token(ctx)
		conn := next(ctx, spec)
		if err == nil {
			conn.RequestHeader().Set("Authorization", "Bearer "+token)
		}
		return conn
	}
}

// WrapStreamingHandler is for servers.
func (a *authenticator) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// identifier names the program to the farm.
type identifier string

func identify(agent string) connect.Interceptor { return identifier(agent) }

// WrapUnary sets the header.
func (i identifier) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set("User-Agent", string(i))
		return next(ctx, req)
	}
}

// WrapStreamingClient sets the header.
func (i identifier) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("User-Agent", string(i))
		return conn
	}
}

// WrapStreamingHandler is for servers.
func (i identifier) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
