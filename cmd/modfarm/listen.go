package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
)

// listen opens the one port of the farm.
func listen(ctx context.Context, address string) (net.Listener, error) {
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
	return l, nil
}

// publicURL is how the world names the farm: what was given, or the address it
// listens on.
func publicURL(given string, l net.Listener) (string, error) {
	if given == "" {
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

// loopback is the URL by which this process reaches its own port.
func loopback(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
