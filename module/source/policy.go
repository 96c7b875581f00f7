package source

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// lookupTimeout bounds one question to the resolver.
const lookupTimeout = 10 * time.Second

// target is a repository address that passed the policy.
type target struct {
	url  string
	host string
	port string
	// addrs are the checked addresses of the host. git is pinned to them, so that a second answer of the
	// resolver cannot lead it elsewhere. Empty when the host is a literal address or a proxy resolves it.
	addrs []netip.Addr
}

// pin is the value of git's http.curloptResolve, empty when there is nothing to pin.
func (t target) pin() string {
	if len(t.addrs) == 0 {
		return ""
	}
	list := make([]string, 0, len(t.addrs))
	for _, a := range t.addrs {
		list = append(list, a.String())
	}
	return t.host + ":" + t.port + ":" + strings.Join(list, ",")
}

// Check applies the policy to a repository address without fetching anything. It resolves the host.
// The error is an *Error.
func (g *Git) Check(ctx context.Context, rawURL string) error {
	_, err := g.check(ctx, rawURL)
	return err
}

func (g *Git) check(ctx context.Context, raw string) (target, error) {
	u, err := g.parse(raw)
	if err != nil {
		return target{}, err
	}
	t := target{url: u.String(), host: u.Hostname(), port: u.Port()}
	if t.port == "" {
		t.port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	if g.Policy.AllowPrivate || isLoopbackHost(t.host) {
		return t, nil
	}
	if addr, err := netip.ParseAddr(t.host); err == nil {
		return t, g.checkAddr(raw, t.host, addr)
	}
	t.addrs, err = g.resolveHost(ctx, u)
	return t, err
}

// parse checks the form of an address: scheme, host, no user information.
func (g *Git) parse(raw string) (*url.URL, error) {
	refuse := func(problem, advice string) error {
		return &Error{Kind: Refused, URL: shown(raw), Problem: problem, Advice: advice}
	}
	if scheme := otherScheme(raw); scheme != "" { // first: other faults of such an address do not matter
		return nil, refuse(scheme+" addresses are not allowed", "use an https address")
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, refuse("the address contains a space or a control character", "remove it")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return nil, refuse("not an https address", "write it like https://github.com/acme/widget")
	}
	if u.User != nil {
		return nil, refuse("the address contains a user name or password", "remove it and pass a token instead")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, refuse("the address has a query or a fragment", "remove everything from ? or # on")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && (g.Policy.AllowPrivate || isLoopbackHost(u.Hostname())):
	case u.Scheme == "http":
		return nil, refuse("http is not allowed", "use https")
	default:
		return nil, refuse("not an https address", "write it like https://github.com/acme/widget")
	}
	return u, nil
}

// schemeRule is how an address says which of git's transports, or which helper program, is to fetch it.
var schemeRule = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*):(?::|//)`)

// otherScheme is the transport that an address names when it is neither http nor https.
func otherScheme(raw string) string {
	m := schemeRule.FindStringSubmatch(raw)
	if m == nil {
		return ""
	}
	if name := strings.ToLower(m[1]); name != "https" && name != "http" {
		return name
	}
	return ""
}

// resolveHost asks for the host's addresses and refuses when one of them is out of bounds.
func (g *Git) resolveHost(ctx context.Context, u *url.URL) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	lookup := g.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	proxied := behindProxy(u)
	addrs, err := lookup(ctx, u.Hostname())
	if err != nil || len(addrs) == 0 {
		if proxied { // the proxy knows names that this machine does not
			return nil, nil
		}
		return nil, &Error{
			Kind: Unreachable, URL: shown(u.String()), Problem: "the name of the server is unknown",
			Advice: "check the address, and that this machine can resolve names",
		}
	}
	for _, a := range addrs {
		if err := g.checkAddr(u.String(), u.Hostname(), a); err != nil {
			return nil, err
		}
	}
	if proxied {
		return nil, nil
	}
	return addrs, nil
}

func (g *Git) checkAddr(raw, host string, addr netip.Addr) error {
	if !isSpecial(addr) {
		return nil
	}
	where := addr.String()
	if host != where {
		where = host + " is " + where
	}
	return &Error{
		Kind: Refused, URL: shown(raw), Problem: "private addresses are not allowed (" + where + ")",
		Advice: "use a public address, or let the farm's owner allow private ones (--allow-private-repositories)",
	}
}

// isLoopbackHost says whether a host is written as this machine itself. A name that merely resolves to it is not.
func isLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// isSpecial says whether an address is anything but an ordinary public one.
func isSpecial(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return true
	}
	for _, p := range specialRanges() {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// specialRanges are the reserved blocks that package netip does not name.
func specialRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),      // this network
		netip.MustParsePrefix("100.64.0.0/10"),  // carrier-grade NAT, and some clouds' metadata
		netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments
		netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks
		netip.MustParsePrefix("240.0.0.0/4"),    // reserved, and broadcast
		netip.MustParsePrefix("64:ff9b::/96"),   // NAT64: any IPv4 address inside
		netip.MustParsePrefix("64:ff9b:1::/48"), // NAT64, local
		netip.MustParsePrefix("2002::/16"),      // 6to4: any IPv4 address inside
		netip.MustParsePrefix("2001::/32"),      // Teredo
		netip.MustParsePrefix("fec0::/10"),      // site-local, deprecated
	}
}

func behindProxy(u *url.URL) bool {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return err == nil && proxy != nil
}
