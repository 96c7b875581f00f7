package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/modfarm/modfarm/farm/api"
)

// listen opens the one port of the farm, for TLS, too, where there is a certificate.
func listen(ctx context.Context, cfg controlConfig) (net.Listener, error) {
	if cfg.tlsCert == "" {
		return listenTCP(ctx, cfg.listen)
	}
	cert, err := api.LoadCertificate(cfg.tlsCert, cfg.tlsKey, cfg.log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	l, err := listenTCP(ctx, cfg.listen)
	if err != nil {
		return nil, err
	}
	return api.WithTLS(ctx, l, cert.Config()), nil //nolint:contextcheck // a handshake has its own
}

func listenTCP(ctx context.Context, address string) (*net.TCPListener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--listen %q: another program has this port already: stop it, or choose another port with --listen", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("--listen %q: this user may not open the port: choose one from 1024 up with --listen", address)
	case err != nil && errors.As(err, new(*net.AddrError)):
		return nil, usageError{fmt.Errorf("--listen %q: write it as ADDRESS:PORT, such as 127.0.0.1:8080 or :8080", address)}
	case err != nil:
		return nil, fmt.Errorf("--listen %q: %w", address, err)
	}
	return l.(*net.TCPListener), nil //nolint:forcetypeassert // what "tcp" gives
}

// publicURL is how the world names the farm: what was given, or the address it
// listens on.
func publicURL(cfg controlConfig, l net.Listener) (string, error) {
	given := cfg.publicURL
	switch {
	case given == "" && cfg.tlsCert != "":
		return "https://" + reachable(l), nil
	case given == "":
		return "http://" + reachable(l), nil
	}
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", usageError{fmt.Errorf("--public-url %q: a URL such as https://farm.example.com is wanted", given)}
	}
	return u.Scheme + "://" + u.Host, nil
}

// reachable is the listener's address with a name where it has a wildcard.
func reachable(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return l.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			return net.JoinHostPort(name, port)
		}
	}
	return net.JoinHostPort(host, port)
}

// loopback is the URL by which this process reaches its own port: in the clear,
// which the port always speaks.
func loopback(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
