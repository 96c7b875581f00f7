// Package source fetches what a build starts from: one commit of a git repository named by a stranger. It owns
// the rules for such repositories (https only, no private addresses unless allowed, hooks off, a token bound to
// one URL) and the errors that explain a refusal. It never runs code of the repository, and a token never
// reaches an argument list, a URL, a file or an error text.
package source

import (
	"context"
	"net/netip"
	"time"
)

// DefaultTimeout bounds one call of Fetch or ReadFiles when Git.Timeout is zero.
const DefaultTimeout = 10 * time.Minute

// resolveTimeout bounds asking a server for its refs, which is one short exchange.
const resolveTimeout = time.Minute

// Repository names a git repository on a server.
type Repository struct {
	// URL is the https address as users write it. http is accepted for this machine's own loopback addresses,
	// and elsewhere only under Policy.AllowPrivate.
	URL string
	// Token opens a private repository; empty for a public one. It is sent as the password of the user
	// x-access-token, or as it stands when it has the form user:password. It is a secret.
	Token string
}

// Policy says how far repositories are trusted. The zero value is the strict one.
type Policy struct {
	// AllowPrivate admits private, link-local and other special addresses, and http on any host.
	// It is for farms whose git server lives in the same network.
	AllowPrivate bool
}

// Git reads repositories with the git program. The zero value is ready to use and strict.
// It is safe for concurrent use.
type Git struct {
	// Policy says which servers may be reached.
	Policy Policy
	// Timeout bounds one call; zero means DefaultTimeout.
	Timeout time.Duration
	// Lookup resolves a host name; nil means the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

func (g *Git) timeout() time.Duration {
	if g.Timeout > 0 {
		return g.Timeout
	}
	return DefaultTimeout
}
