package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

type (
	principalKey struct{}
	originKey    struct{}
)

// userGate lets callers with a token in, before any message of theirs is read, and those of withoutKey.
func (s *server) userGate(ctx context.Context, spec connect.Spec, peer connect.Peer, h http.Header) (context.Context, error) {
	start := time.Now()
	if withoutKey(spec.Procedure) {
		return ctx, nil
	}
	p, err := s.bearer(ctx, h)
	if err != nil {
		err = s.accounts.Slow(ctx, peer.Addr, err)
		return nil, observer{s}.done(ctx, spec, start, err)
	}
	return context.WithValue(ctx, principalKey{}, p), nil
}

// workerGate lets workers in.
func (s *server) workerGate(ctx context.Context, spec connect.Spec, _ connect.Peer, h http.Header) (context.Context, error) {
	start := time.Now()
	if err := s.checkWorker(h); err != nil {
		return nil, observer{s}.done(ctx, spec, start, err)
	}
	return ctx, nil
}

// bearerToken is the token of an authorization header; empty when there is none.
func bearerToken(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func (s *server) bearer(ctx context.Context, h http.Header) (account.Principal, error) {
	token := bearerToken(h)
	if token == "" {
		return account.Principal{}, fmt.Errorf("%w: the call carries no token; log in with an API key first", module.ErrUnauthorized)
	}
	return s.accounts.VerifyToken(ctx, token)
}

// checkWorker compares digests, so that neither length nor content shows in the time it takes.
func (s *server) checkWorker(h http.Header) error {
	got := sha256.Sum256([]byte(bearerToken(h)))
	if subtle.ConstantTimeCompare(got[:], s.workerHash[:]) == 1 && !s.noWorkers {
		return nil
	}
	return fmt.Errorf("%w: the worker token is wrong; start the worker with the token that this farm was started with", module.ErrUnauthorized)
}

// authenticated tells who makes an HTTP request: by the headers of stock clients, or by a token. Handlers ask
// httpCaller instead, which holds the key to its role and scope, or look for a build of the key's with ownBuild.
func (s *server) authenticated(r *http.Request) (account.Principal, error) {
	p, err := s.shown(r)
	if err == nil {
		err = checkPath(p, r)
	}
	return p, err
}

// shown is whose key or token a request carries.
func (s *server) shown(r *http.Request) (account.Principal, error) {
	if id := r.Header.Get(wire.HeaderKeyID); id != "" {
		return s.accounts.Authenticate(r.Context(), id, r.Header.Get(wire.HeaderKey))
	}
	if bearerToken(r.Header) == "" {
		return account.Principal{}, fmt.Errorf(
			"%w: send an API key in the headers key_id and key; a proxy in between must pass headers with underscores", module.ErrUnauthorized)
	}
	return s.bearer(r.Context(), r.Header)
}

// httpCaller is who makes an HTTP request about a module, when their role includes role and their key's scope
// holds the module.
func (s *server) httpCaller(r *http.Request, role account.Role, id module.ID) (account.Principal, error) {
	p, err := s.authenticated(r)
	if err != nil {
		return p, err
	}
	if err := p.Require(role); err != nil {
		return p, err
	}
	return p, p.RequireModule(id)
}

// peerOf is the address of who makes an RPC.
func peerOf(ctx context.Context) string {
	call, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return ""
	}
	return call.Peer().Addr
}

// caller is who makes an RPC that passed userGate and scopeGate, when their role includes role.
func caller(ctx context.Context, role account.Role) (account.Principal, error) {
	p, ok := ctx.Value(principalKey{}).(account.Principal)
	if !ok {
		return account.Principal{}, fmt.Errorf("%w: nobody is logged in", module.ErrUnauthorized)
	}
	return p, p.Require(role)
}

func viewer(p account.Principal) registry.Viewer { return registry.ForOrg(p.Org.ID) }

// rememberOrigin keeps how the caller addressed the farm: RPC handlers do not see it otherwise.
func rememberOrigin(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), originKey{}, origin(r))))
	})
}

func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// addressOf is address for a plain HTTP request.
func (s *server) addressOf(r *http.Request, path string) string {
	return s.address(context.WithValue(r.Context(), originKey{}, origin(r)), path)
}

// address is the full address of a path of the farm, stable for callers that use one name for it.
func (s *server) address(ctx context.Context, path string) string {
	if s.publicURL != "" {
		return s.publicURL + path
	}
	from, _ := ctx.Value(originKey{}).(string)
	return from + path
}
