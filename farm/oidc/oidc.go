// Package oidc owns the question whether a workflow run of a code host is who it says: it checks the identity that the
// host signed for the run (an OpenID Connect id token) against the issuers that the farm trusts. It never decides what
// a run may do, and keeps nothing but the issuers' public keys, in memory.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
)

// GitHub is who signs the identities of workflow runs on github.com.
const GitHub = "https://token.actions.githubusercontent.com"

const (
	// leeway is how far clocks may differ.
	leeway = 60 * time.Second
	// longestLife bounds how long after its issue a token is good: what was used is remembered for as long.
	longestLife = 24 * time.Hour
	// maxToken bounds what a stranger makes the farm read, in bytes. GitHub's are below 3 KiB.
	maxToken = 16 << 10
)

// Run is a workflow run whose identity was proved.
type Run struct {
	// Issuer is who signed, and TokenID (jti) what it calls this token; no other of it has the same.
	Issuer, TokenID string
	// ExpiresAt is when nobody accepts the token any more.
	ExpiresAt time.Time
	// Repository is the https address of the repository, in the case that the host shows.
	Repository string
	// RepositoryNumber and OwnerNumber are the host's numbers: they survive a new name.
	RepositoryNumber, OwnerNumber string
	// Ref is the full ref that the run is of, as "refs/tags/v1.2.3", and Commit the commit it names there.
	Ref, Commit string
	// Event is what started the run, JobWorkflow the workflow file and its ref.
	Event, JobWorkflow string
	// ID is the run's, and Actor who started it. They are for people only.
	ID, Actor string
}

// Verifier checks identities. Its methods may be called at the same time.
type Verifier struct {
	// Audience is who tokens must be made for: the farm's public address.
	Audience string
	// HTTP fetches the issuers' keys; nil for a client that follows no redirect and has timeouts.
	HTTP *http.Client
	// Again is how long an issuer is left alone after it was asked for its keys; zero for five seconds.
	Again time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	issuers []string
	mu      sync.Mutex
	known   map[string]*issuer
}

// New makes a Verifier without connecting. No issuers is nil: nobody is trusted. Errors wrap module.ErrInvalid.
func New(audience string, issuers []string) (*Verifier, error) {
	if len(issuers) == 0 {
		return nil, nil // nobody is trusted, and nothing went wrong
	}
	v := &Verifier{Audience: strings.TrimSuffix(audience, "/"), known: map[string]*issuer{}}
	for _, text := range issuers {
		if err := checkIssuer(text); err != nil {
			return nil, err
		}
		v.issuers = append(v.issuers, text)
	}
	return v, nil
}

func checkIssuer(text string) error {
	fault := module.Fault{
		Path: "issuer", Value: text, Problem: "not the address of an issuer",
		Advice: "write " + GitHub + ", or https://HOST/_services/token for a GitHub Enterprise Server",
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(text, "/"):
		return fault
	case u.User != nil:
		fault.Value, fault.Problem = u.Redacted(), "holds credentials"
		return fault
	case u.Scheme == "http" && !loopback(u.Hostname()):
		fault.Problem, fault.Advice = "not over https", "use https; plain http is for loopback only"
		return fault
	case u.Scheme != "https" && u.Scheme != "http":
		return fault
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// hostOf is where the repositories are whose runs an issuer knows.
func hostOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return issuer
	}
	host := u.Host
	switch {
	case host == "token.actions.githubusercontent.com": // with the name of an enterprise behind it, too
		host = "github.com"
	case strings.HasSuffix(host, ".ghe.com"):
		host = strings.TrimPrefix(host, "token.actions.")
	}
	return u.Scheme + "://" + host
}

func (v *Verifier) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

// Issuers are those that are trusted.
func (v *Verifier) Issuers() []string { return slices.Clone(v.issuers) }

// Check fetches the keys of an issuer that is trusted, unless it answered a moment ago. Its error wraps
// module.ErrUnavailable.
func (v *Verifier) Check(ctx context.Context, name string) error { return v.issuer(name).check(ctx) }

// Hosts are where the repositories are whose runs the issuers know, as https://github.com.
func (v *Verifier) Hosts() []string {
	hosts := make([]string, 0, len(v.issuers))
	for _, name := range v.issuers {
		hosts = append(hosts, hostOf(name))
	}
	return hosts
}

// Verify says whose a token is. One that is wrong wraps module.ErrUnauthorized and names the claim; an issuer that
// does not answer wraps module.ErrUnavailable.
func (v *Verifier) Verify(ctx context.Context, token string) (Run, error) {
	if token == "" {
		return Run{}, module.Fault{Path: "id_token", Problem: "missing", Advice: "ask the code host for one; on GitHub the job needs the permission id-token: write"}
	}
	name, err := peekIssuer(token)
	if err != nil {
		return Run{}, err
	}
	if !slices.Contains(v.issuers, name) {
		return Run{}, wrong("iss", name, "this farm trusts "+strings.Join(v.issuers, ", ")+"; who runs it may add others with --oidc-issuer")
	}
	c, err := v.issuer(name).verify(ctx, token)
	if err != nil {
		return Run{}, err
	}
	return v.run(name, c)
}

// wrong is a claim that is not what it has to be.
func wrong(claim, value, advice string) error {
	return fmt.Errorf("%w: the claim %s of the id token is %.200q: %s", module.ErrUnauthorized, claim, value, advice)
}

// run checks the claims of a token whose signature is good.
func (v *Verifier) run(issuer string, c claims) (Run, error) {
	if len(c.Audience) != 1 || c.Audience[0] != v.Audience {
		return Run{}, wrong("aud", strings.Join(c.Audience, " "), "ask for a token with the audience "+v.Audience)
	}
	if err := c.checkTimes(v.now()); err != nil {
		return Run{}, err
	}
	if err := c.complete(); err != nil {
		return Run{}, err
	}
	return Run{
		Issuer: issuer, TokenID: c.TokenID, ExpiresAt: time.Unix(int64(c.Expiry), 0).Add(leeway).UTC(),
		Repository: hostOf(issuer) + "/" + c.Repository, RepositoryNumber: c.RepositoryID, OwnerNumber: c.OwnerID,
		Ref: c.Ref, Commit: c.SHA, Event: c.Event, JobWorkflow: c.JobWorkflow, ID: c.RunID, Actor: c.Actor,
	}, nil
}

func (v *Verifier) issuer(name string) *issuer {
	v.mu.Lock()
	defer v.mu.Unlock()
	i, known := v.known[name]
	if !known {
		client := v.HTTP
		if client == nil {
			client = newHTTP()
		}
		i = newIssuer(name, client, v.Again)
		v.known[name] = i
	}
	return i
}

// fetchTimeout bounds one request to an issuer.
const fetchTimeout = 10 * time.Second

// newHTTP is a client for issuers: it trusts no redirect, and neither waits nor reads without end.
func newHTTP() *http.Client {
	return &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: fetchTimeout / 2}).DialContext,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   fetchTimeout / 2,
			ResponseHeaderTimeout: fetchTimeout / 2,
			MaxIdleConns:          4,
			IdleConnTimeout:       time.Minute,
		},
		CheckRedirect: func(req *http.Request, _ []*http.Request) error {
			return errors.New("the issuer redirects to " + req.URL.Redacted() + ", which is not followed")
		},
	}
}
