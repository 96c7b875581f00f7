package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/modfarm/modfarm/module"
)

// algorithms are those that a signature may be of: with the issuer's public key alone none of them can be made.
func algorithms() []string { return []string{goidc.RS256, goidc.ES256} }

// issuer is one that is trusted, with its keys as soon as they were fetched.
type issuer struct {
	name   string
	client *http.Client

	mu       sync.Mutex // held while the issuer's configuration is fetched, so that it is once
	verifier *goidc.IDTokenVerifier
	keys     string // where they are, with the verifier
}

func newIssuer(name string, client *http.Client, again time.Duration) *issuer {
	bounded := *client
	bounded.Transport = newGentle(client.Transport, again)
	return &issuer{name: name, client: &bounded}
}

// verify checks the signature and returns the claims.
func (i *issuer) verify(ctx context.Context, token string) (claims, error) {
	if alg := algorithm(token); !slices.Contains(algorithms(), alg) {
		return claims{}, fmt.Errorf("%w: the id token is signed with the algorithm %.20q, and only RS256 and ES256 are accepted: send what the code host answered, unchanged",
			module.ErrUnauthorized, alg)
	}
	verifier, err := i.ready(ctx)
	if err != nil {
		return claims{}, i.unavailable(err)
	}
	var why error
	checked, err := verifier.Verify(context.WithValue(ctx, whyKey{}, &why), token)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return claims{}, ctx.Err()
	case unreachable(why):
		return claims{}, i.unavailable(why)
	case why == nil:
		return claims{}, errNotToken("it is malformed, or its claims are not of the types that they should be")
	default:
		return claims{}, fmt.Errorf("%w: the id token is not signed by %s: send what the code host answered, unchanged", module.ErrUnauthorized, i.name)
	}
	var c claims
	if err := checked.Claims(&c); err != nil {
		return claims{}, errNotToken("it is malformed, or its claims are not of the types that they should be")
	}
	return c, nil
}

// ready fetches the issuer's configuration, unless that was done.
func (i *issuer) ready(ctx context.Context) (*goidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	// The client has a timeout of its own, and what it fetches is not for this caller alone.
	ctx = goidc.ClientContext(context.WithoutCancel(ctx), i.client)
	provider, err := goidc.NewProvider(ctx, i.name)
	if err != nil {
		return nil, err // the caller says whose configuration
	}
	var c struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&c); err != nil {
		return nil, fmt.Errorf("read its configuration: %w", err)
	}
	// Keys must not come over a line that others write on.
	u, err := url.Parse(c.Keys)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("%w: its configuration names %.200q for its keys, which is no https address", module.ErrInvalid, c.Keys)
	}
	i.keys = c.Keys
	i.verifier = goidc.NewVerifier(i.name, keys{goidc.NewRemoteKeySet(ctx, c.Keys)}, &goidc.Config{
		SupportedSigningAlgs: algorithms(),
		SkipClientIDCheck:    true, // this package says more exactly what is wrong with them
		SkipExpiryCheck:      true,
	})
	return i.verifier, nil
}

// check fetches the keys for nothing but to see that they can be.
func (i *issuer) check(ctx context.Context) error {
	if _, err := i.ready(ctx); err != nil {
		return i.unavailable(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.keys, nil) // set with the verifier, and never changed
	if err != nil {
		return i.unavailable(err)
	}
	res, err := i.client.Do(req)
	if errors.Is(err, errJustAsked) {
		return nil
	}
	if err != nil {
		return i.unavailable(err)
	}
	return res.Body.Close()
}

func (i *issuer) unavailable(err error) error {
	return fmt.Errorf("%w: the keys of the issuer %s cannot be fetched (%.300s): try again in a moment; if it stays so, check that the farm reaches it",
		module.ErrUnavailable, i.name, err.Error())
}

// whyKey is where keys leave what went wrong: the library's own error does not say.
type whyKey struct{}

// keys are an issuer's.
type keys struct{ set *goidc.RemoteKeySet }

// VerifySignature implements the library's KeySet.
func (k keys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.set.VerifySignature(ctx, token)
	if why, ok := ctx.Value(whyKey{}).(*error); ok {
		*why = err
	}
	return payload, err // between the library and itself
}

// unreachable reports whether the issuer's keys could not be had, as opposed to not fitting. When they were had only
// just now they do not fit.
func unreachable(err error) bool {
	var failed *url.Error
	return errors.As(err, &failed) && !errors.Is(err, errJustAsked)
}
