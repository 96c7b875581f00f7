package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// dialTimeout bounds one connection to a server of large files, and headerTimeout its first word.
const (
	dialTimeout   = 20 * time.Second
	headerTimeout = time.Minute
)

// client fetches large files. Where a server sends it, by an answer or by a redirect, is held to the policy.
func (s *session) client() *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: s.control}
	g := &guarded{
		session: s,
		direct:  &http.Transport{DialContext: dialer.DialContext, ResponseHeaderTimeout: headerTimeout, TLSHandshakeTimeout: dialTimeout},
		proxied: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: headerTimeout, TLSHandshakeTimeout: dialTimeout},
	}
	return &http.Client{Transport: g}
}

// guarded checks each request, also those that follow a redirect.
type guarded struct {
	session         *session
	direct, proxied *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	s := g.session
	bare := &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, User: req.URL.User} // signed addresses have a query
	if _, err := s.checkPart(req.Context(), bare.String()); err != nil {
		return nil, err
	}
	if behindProxy(req.URL) {
		return g.proxied.RoundTrip(req)
	}
	return g.direct.RoundTrip(req)
}

// CloseIdleConnections ends what is kept for the next request.
func (g *guarded) CloseIdleConnections() {
	g.direct.CloseIdleConnections()
	g.proxied.CloseIdleConnections()
}

// control looks at the address that a name resolved to, just before it is dialled: a second answer of the resolver
// cannot lead elsewhere.
func (s *session) control(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %s: %w", address, err)
	}
	if s.git.Policy.AllowPrivate || addr.Addr().Unmap().IsLoopback() && isLoopbackHost(s.target.host) {
		return nil
	}
	return s.git.checkAddr("https://"+address, addr.Addr().String(), addr.Addr())
}

// checkPart holds an address that the repository brings along to the policy. This machine's own loopback is only
// open to what a repository on it names.
func (s *session) checkPart(ctx context.Context, address string) (target, error) {
	t, err := s.git.check(ctx, address)
	switch {
	case err != nil:
		return t, err
	case strings.HasPrefix(t.url, "http://") && !s.allowHTTP():
		return t, &Error{Kind: Refused, URL: shown(address), Problem: "http is not allowed here", Advice: "use https"}
	case isLoopbackHost(t.host) && !isLoopbackHost(s.target.host) && !s.git.Policy.AllowPrivate:
		return t, &Error{
			Kind: Refused, URL: shown(address), Problem: "private addresses are not allowed (" + t.host + ")", Advice: "use a public address",
		}
	}
	return t, nil
}

// authorize shows the token.
func (s *session) authorize(req *http.Request) {
	if s.repo.Token != "" {
		user, password, _ := strings.Cut(credentials(s.repo.Token), ":")
		req.SetBasicAuth(user, password)
	}
}

// sameServer says whether a request goes to the repository's own address.
func (s *session) sameServer(req *http.Request) bool {
	return strings.HasPrefix(req.URL.String(), strings.TrimSuffix(strings.TrimSuffix(s.target.url, "/"), ".git")+".git/")
}

func (s *session) largeError(kind Kind, problem, advice string) error {
	return &Error{Kind: kind, URL: shown(s.repo.URL), Problem: problem, Advice: advice}
}

// largeFault explains a request that got no answer.
func (s *session) largeFault(ctx context.Context, err error) error {
	var own *Error
	switch {
	case ctx.Err() != nil:
		return s.explain(ctx, err, "")
	case errors.As(err, &own):
		return fmt.Errorf("large files: %w", own)
	}
	return s.largeError(Unreachable, "its large files cannot be fetched ("+redact(s.repo.Token, reason(err))+")",
		"check that the server answers, then start the build again")
}

// reason is an error without the address, which may be signed.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}

// largeStatus explains an answer that is none.
func (s *session) largeStatus(code int) error {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return s.largeError(Denied, "the server does not give out its large files", "pass a token that may read them")
	case http.StatusNotFound:
		return s.largeError(NotFound, "its server keeps no large files", "push them (git lfs push --all), then start the build again")
	}
	return s.largeError(Unreachable, fmt.Sprintf("the server of its large files answers %d", code), "start the build again later")
}
