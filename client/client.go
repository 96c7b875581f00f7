package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/gen/modfarm/v1/modfarmv1connect"
	"github.com/modfarm/modfarm/proto/gen/proto/rpc/v1/rpcv1connect"
	"github.com/modfarm/modfarm/proto/gen/viam/app/build/v1/buildv1connect"
	"github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1/packagesv1connect"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
	"github.com/modfarm/modfarm/proto/wire"
)

// DefaultTimeout bounds every call that is not a stream or a transfer of an archive.
const DefaultTimeout = 30 * time.Second

// Config says which farm to talk to, and as whom.
type Config struct {
	// URL is the farm, as "https://farm.example.com" or "http://127.0.0.1:8080".
	URL string
	// KeyID and Key are an API key. A worker leaves them empty.
	KeyID, Key string
	// Renew gives a key instead, and another one before that expires: a step of a workflow that follows a build for hours
	// stays known. It is asked at the first call, once at a time, and must use another client than this one; see
	// ExchangeIDToken.
	Renew func(ctx context.Context) (WorkflowKey, error)
	// WorkerToken authenticates a worker instead of a key.
	WorkerToken string
	// HTTP makes the requests; nil for one with sensible timeouts. It must not have a Timeout of
	// its own, as that would cut streams and archives.
	HTTP *http.Client
	// UserAgent names the program; empty for "modfarm".
	UserAgent string
	// Timeout bounds every unary call; zero for DefaultTimeout.
	Timeout time.Duration
}

// Client talks to one farm. Its methods may be called at the same time.
type Client struct {
	base     *url.URL
	http     *http.Client
	agent    string
	auth     *authenticator
	app      appv1connect.AppServiceClient
	accounts modfarmv1connect.AccountServiceClient
	pkg      packagesv1connect.PackageServiceClient
	builds   buildv1connect.BuildServiceClient
	farm     modfarmv1connect.FarmServiceClient
	reg      modfarmv1connect.RegistryServiceClient
	workers  modfarmv1connect.WorkerServiceClient
	github   modfarmv1connect.GitHubServiceClient
	links    modfarmv1connect.LinkServiceClient
	open     modfarmv1connect.AccountServiceClient // calls that need no key
}

// New makes a client without connecting. Errors wrap module.ErrInvalid.
func New(cfg Config) (*Client, error) {
	base, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: newTransport()}
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "modfarm"
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	u := base.String()
	common := []connect.ClientOption{
		connect.WithReadMaxBytes(wire.MaxMessage),
		connect.WithSendMaxBytes(wire.MaxMessage),
		connect.WithInterceptors(deadline(cfg.Timeout), identify(cfg.UserAgent)),
	}
	auth := &authenticator{
		login: rpcv1connect.NewAuthServiceClient(cfg.HTTP, u, common...),
		keyID: cfg.KeyID, key: cfg.Key, worker: cfg.WorkerToken, renew: cfg.Renew,
	}
	opts := append(slices.Clip(common), connect.WithInterceptors(auth))
	return &Client{
		base: base, http: cfg.HTTP, agent: cfg.UserAgent, auth: auth,
		app:      appv1connect.NewAppServiceClient(cfg.HTTP, u, opts...),
		accounts: modfarmv1connect.NewAccountServiceClient(cfg.HTTP, u, opts...),
		pkg:      packagesv1connect.NewPackageServiceClient(cfg.HTTP, u, opts...),
		builds:   buildv1connect.NewBuildServiceClient(cfg.HTTP, u, opts...),
		farm:     modfarmv1connect.NewFarmServiceClient(cfg.HTTP, u, opts...),
		reg:      modfarmv1connect.NewRegistryServiceClient(cfg.HTTP, u, opts...),
		workers:  modfarmv1connect.NewWorkerServiceClient(cfg.HTTP, u, opts...),
		github:   modfarmv1connect.NewGitHubServiceClient(cfg.HTTP, u, opts...),
		links:    modfarmv1connect.NewLinkServiceClient(cfg.HTTP, u, opts...),
		open:     modfarmv1connect.NewAccountServiceClient(cfg.HTTP, u, common...),
	}, nil
}

// URL is the farm's address as it was given, without a path.
func (c *Client) URL() string { return c.base.String() }

func parseURL(s string) (*url.URL, error) {
	fault := module.Fault{Path: "url", Value: s, Problem: "not the address of a farm", Advice: "write it as https://farm.example.com"}
	if s == "" {
		fault.Problem = "the address of the farm is empty"
		return nil, fault
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fault
	}
	if u.User != nil {
		fault.Value = u.Redacted()
		fault.Problem, fault.Advice = "the address holds a password", "leave it out and give an API key"
		return nil, fault
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}, nil
}

// newTransport bounds what a dead peer can cost, but no transfer as a whole.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second, // not every proxy asks for the body
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// deadline bounds unary calls.
func deadline(d time.Duration) connect.Interceptor {
	return connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("the farm did not answer within %s", d))
			defer cancel()
			return next(ctx, req)
		}
	})
}
