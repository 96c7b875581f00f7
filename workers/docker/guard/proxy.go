package guard

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"
)

const (
	dialTimeout   = 15 * time.Second
	headerTimeout = 30 * time.Second
	// mostConnections bounds what a build can make the proxy hold.
	mostConnections = 256
)

// proxy is an HTTP proxy that lets the hosts of a list through. Its sockets carry the mark that the packet filter
// lets out, and are subject to all its other rules.
type proxy struct {
	address  string
	server   *http.Server
	hosts    []string
	upstream func(*url.URL) (*url.URL, error)
	dialer   net.Dialer
	forward  *httputil.ReverseProxy
	refused  func(hostport string)
	slots    chan struct{}

	mu    sync.Mutex
	done  bool
	conns map[net.Conn]struct{} // tunnels, which the server does not know any more
}

// startProxy listens on loopback, which only the build shares. refused is told about each refusal.
func startProxy(ctx context.Context, c Config, f facts, refused func(string)) (*proxy, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the proxy for registries: %w", err)
	}
	way := httpproxy.Config{HTTPProxy: c.HTTPProxy, HTTPSProxy: c.HTTPSProxy, NoProxy: c.NoProxy}
	p := &proxy{
		address: l.Addr().String(), hosts: c.Registries, upstream: way.ProxyFunc(), refused: refused,
		dialer: net.Dialer{Timeout: dialTimeout, Control: markSocket, Resolver: resolver(f.nameservers)},
		slots:  make(chan struct{}, mostConnections), conns: make(map[net.Conn]struct{}),
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Del("Proxy-Authorization") },
		Transport: &http.Transport{
			Proxy:       func(r *http.Request) (*url.URL, error) { return p.upstream(r.URL) },
			DialContext: p.dialer.DialContext, IdleConnTimeout: headerTimeout, DisableCompression: true,
		},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, err error) { say(w, http.StatusBadGateway, err.Error()) },
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: headerTimeout}
	go func() { _ = p.server.Serve(l) }() // ends with close
	return p, nil
}

// resolver asks the machine's nameservers with marked sockets. The engine's own nameserver asks them with sockets
// that are not marked; it is of use only where it does so from elsewhere.
func resolver(servers []netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Timeout: dialTimeout, Control: markSocket}
		var errs []error
		for _, s := range servers {
			conn, err := d.DialContext(ctx, network, netip.AddrPortFrom(s, 53).String())
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		if conn, err := d.DialContext(ctx, network, address); err == nil {
			return conn, nil
		}
		return nil, errors.Join(errs...)
	}}
}

// ServeHTTP serves one request of the build.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-r.Context().Done():
		return
	}
	target := r.URL.Host
	if r.Method == http.MethodConnect {
		target = r.Host
	}
	if target == "" || (r.Method != http.MethodConnect && r.URL.Scheme != "http") {
		say(w, http.StatusBadRequest, "this is a proxy: CONNECT host:port, or GET http://host/")
		return
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		host, port = (&url.URL{Host: target}).Hostname(), "80"
	}
	if !allowed(p.hosts, host, port) {
		p.refused(net.JoinHostPort(host, port))
		say(w, http.StatusForbidden, host+" is not one of the registries that modfarm lets this step reach")
		return
	}
	if r.Method != http.MethodConnect {
		p.forward.ServeHTTP(w, r)
		return
	}
	p.tunnel(w, r, net.JoinHostPort(host, port))
}

// say answers with a sentence, also as the reason of the status line, which is all that many programs show.
func say(w http.ResponseWriter, status int, sentence string) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			defer conn.Close()
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
				status, line(sentence), len(sentence)+1, sentence)
			return
		}
	}
	http.Error(w, sentence, status)
}

// line keeps a text fit for a status line.
func line(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// tunnel connects the build with a registry, through the proxy upstream when there is one.
func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request, target string) {
	far, err := p.dial(r.Context(), target)
	if err != nil {
		say(w, http.StatusBadGateway, err.Error())
		return
	}
	defer far.Close()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		say(w, http.StatusInternalServerError, "no tunnel on this connection")
		return
	}
	near, buffered, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	if !p.keep(near, far) {
		return
	}
	defer p.forget(near, far)
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(far, buffered) // how a tunnel ends concerns its ends
		halfClose(far)
	}()
	_, _ = io.Copy(near, far)
	halfClose(near)
}

func halfClose(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
}

// dial reaches a registry directly or by CONNECT.
func (p *proxy) dial(ctx context.Context, target string) (net.Conn, error) {
	via, err := p.upstream(&url.URL{Scheme: "https", Host: target})
	if err != nil {
		return nil, fmt.Errorf("the proxy of --build-env: %w", err)
	}
	if via == nil {
		return p.dialer.DialContext(ctx, "tcp", target)
	}
	if via.Scheme != "http" {
		return nil, fmt.Errorf("the proxy of --build-env is reached by %s; only http is possible with the network policy registries", via.Scheme)
	}
	address := via.Host
	if via.Port() == "" {
		address = net.JoinHostPort(via.Hostname(), "80")
	}
	conn, err := p.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the proxy of --build-env: %w", err)
	}
	if err := connect(conn, via, target); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the proxy of --build-env: %w", err)
	}
	return conn, nil
}

// connect asks an upstream proxy for a tunnel. The answer is read byte by byte, since what follows is the tunnel's.
func connect(conn net.Conn, via *url.URL, target string) error {
	if err := conn.SetDeadline(time.Now().Add(headerTimeout)); err != nil {
		return err
	}
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: make(http.Header)}
	if u := via.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(oneByte{conn}, 16), req) //nolint:bodyclose // see below
	if err != nil {
		return err
	}
	// The body is the tunnel, which is not the response's to close.
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return conn.SetDeadline(time.Time{})
}

// oneByte reads no further than it has to.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(b []byte) (int, error) {
	if len(b) > 1 {
		b = b[:1]
	}
	return o.r.Read(b)
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return !p.done
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// close ends the proxy and every connection through it.
func (p *proxy) close() {
	_ = p.server.Close() // all that can be said is that it was closed
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	for c := range p.conns {
		_ = c.Close()
	}
}
