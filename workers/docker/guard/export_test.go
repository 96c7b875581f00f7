package guard

import (
	"context"
	"io"
	"net/netip"
)

// RunIn is Run with another folder of pipes.
func RunIn(ctx context.Context, orders io.Reader, reports io.Writer, pipes string) error {
	return run(ctx, orders, reports, pipes)
}

// Allowed exports allowed.
func Allowed(registries []string, host, port string) bool { return allowed(registries, host, port) }

// Gateways exports both readers of routes.
func Gateways(v4, v6 string) []netip.Addr {
	return append(gateways([]byte(v4)), gateways6([]byte(v6))...)
}

// Nameservers exports nameservers.
func Nameservers(resolv string) []netip.Addr { return nameservers([]byte(resolv)) }

// Refuses reports whether builds are kept from an address wherever they run.
func Refuses(a netip.Addr) bool {
	for _, p := range withTranslated(neverPublic()) {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
