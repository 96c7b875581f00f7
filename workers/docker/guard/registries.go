package guard

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DefaultRegistries are the hosts that the policy registries lets through everywhere. Hosts that serve whatever
// anybody uploads, such as github.com, are not among them: with those the list would keep nothing out.
func DefaultRegistries() []string {
	return []string{
		"proxy.golang.org", "sum.golang.org", // Go
		"pypi.org", "files.pythonhosted.org", // Python
		"registry.npmjs.org",                    // JavaScript
		"deb.debian.org", "security.debian.org", // Debian
		"index.crates.io", "static.crates.io", "crates.io", // Rust
	}
}

var hostName = regexp.MustCompile(`^(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.?$`)

// ParseRegistry checks HOST[:PORT] and gives its plain form. Without a port 80 and 443 are meant; *.example.com
// means every host below example.com.
func ParseRegistry(s string) (string, error) {
	host, port := strings.ToLower(strings.TrimSpace(s)), ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	if net.ParseIP(host) == nil && !hostName.MatchString(host) {
		return "", fmt.Errorf("%q: a host name is wanted, with or without a port, as goproxy.example.com or mirror.example.com:8081", s)
	}
	host = strings.TrimSuffix(host, ".")
	if port == "" {
		return host, nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: the port is a number from 1 to 65535", s)
	}
	return net.JoinHostPort(host, port), nil
}

// allowed reports whether a list of registries has a host and port.
func allowed(registries []string, host, port string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(registries, func(entry string) bool {
		name := entry
		if h, p, err := net.SplitHostPort(entry); err == nil {
			if p != port {
				return false
			}
			name = h
		} else if port != "80" && port != "443" {
			return false
		}
		if below, ok := strings.CutPrefix(name, "*"); ok {
			return strings.HasSuffix(host, below) && host != below[1:]
		}
		return name == host
	})
}
