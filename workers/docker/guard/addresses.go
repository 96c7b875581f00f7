package guard

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Destination is a range of addresses, at one port or at all.
type Destination struct {
	Prefix netip.Prefix
	Port   uint16 // zero for all
}

// ParseDestination reads CIDR[:port]: 10.1.0.0/16, 10.1.2.3:443, fd00::/8, [fd00::1]:443, [fd00::/8]:443.
func ParseDestination(s string) (Destination, error) {
	text, port := s, ""
	if inner, ok := strings.CutPrefix(s, "["); ok {
		var rest string
		if text, rest, ok = strings.Cut(inner, "]"); !ok {
			return Destination{}, fmt.Errorf("%q: the ] is missing", s)
		}
		if port, ok = strings.CutPrefix(rest, ":"); !ok && rest != "" {
			return Destination{}, fmt.Errorf("%q: only :port may follow ]", s)
		}
	} else if strings.Count(s, ":") == 1 {
		text, port, _ = strings.Cut(s, ":")
	}
	var d Destination
	var err error
	if d.Prefix, err = netip.ParsePrefix(text); err != nil {
		addr, aerr := netip.ParseAddr(text)
		if aerr != nil || addr.Zone() != "" {
			return Destination{}, fmt.Errorf("%q: an address or range of addresses is wanted, with or without a port, as 10.1.0.0/16 or 10.1.2.3:443", s)
		}
		d.Prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Destination{}, fmt.Errorf("%q: the port is a number from 1 to 65535", s)
		}
		d.Port = uint16(n)
	}
	d.Prefix = d.Prefix.Masked()
	return d, nil
}

// String is the form that ParseDestination reads.
func (d Destination) String() string {
	if d.Port == 0 {
		return d.Prefix.String()
	}
	return net.JoinHostPort(d.Prefix.String(), strconv.Itoa(int(d.Port)))
}

// MarshalText implements encoding.TextMarshaler.
func (d Destination) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Destination) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDestination(string(text))
	return err
}

// neverPublic are the addresses that lead to machines and services around the worker, and not to the world.
func neverPublic() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // services of the machine on Azure, on an address that looks public
		"::/96", "::ffff:0:0/96", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
		"2001::/32", // Teredo
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// withTranslated adds to IPv4 prefixes the IPv6 ones that gateways translate to them: NAT64 and 6to4.
func withTranslated(list []netip.Prefix) []netip.Prefix {
	out := slices.Clone(list)
	for _, p := range list {
		if !p.Addr().Is4() {
			continue
		}
		v4 := p.Addr().As4()
		nat64, sixToFour := [16]byte{0, 0x64, 0xff, 0x9b}, [16]byte{0x20, 0x02}
		copy(nat64[12:], v4[:])
		copy(sixToFour[2:], v4[:])
		out = append(out, netip.PrefixFrom(netip.AddrFrom16(nat64), 96+p.Bits()),
			netip.PrefixFrom(netip.AddrFrom16(sixToFour), 16+p.Bits()))
	}
	return out
}

// embedded is the engine's own nameserver in networks that it made.
func embedded() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 11}) }

// facts are what a guard sees of its own namespace.
type facts struct {
	refuse      []netip.Prefix // in addition to neverPublic
	nameservers []netip.Addr   // reached by packets from in here
}

// lookAround collects the addresses next to this namespace, and its nameservers.
func lookAround(c *Config) (facts, error) {
	f := facts{nameservers: []netip.Addr{}}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return f, fmt.Errorf("list the addresses of the build's network: %w", err)
	}
	for _, a := range interfaces {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			f.refuse = append(f.refuse, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()).Masked())
		}
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return f, fmt.Errorf("read the routes of the build's network: %w", err)
	}
	hosts := append(gateways(routes), c.Refuse...)
	if routes, err := os.ReadFile("/proc/net/ipv6_route"); err == nil {
		hosts = append(hosts, gateways6(routes)...)
	}
	for _, a := range hosts {
		a = a.Unmap().WithZone("")
		f.refuse = append(f.refuse, netip.PrefixFrom(a, a.BitLen()))
	}
	resolv, _ := os.ReadFile("/etc/resolv.conf") // without one there are no names, and the build says so
	for _, a := range append(nameservers(resolv), c.Nameservers...) {
		if a = a.Unmap().WithZone(""); !a.IsLoopback() && !slices.Contains(f.nameservers, a) {
			f.nameservers = append(f.nameservers, a)
		}
	}
	return f, nil
}

// gateways reads /proc/net/route: hexadecimal in the machine's byte order.
func gateways(table []byte) []netip.Addr {
	var list []netip.Addr
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 3 {
			continue
		}
		n, err := strconv.ParseUint(string(fields[2]), 16, 32)
		if err != nil || n == 0 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(n))
		list = append(list, netip.AddrFrom4(b))
	}
	return list
}

// gateways6 reads /proc/net/ipv6_route, whose fifth field is the next hop.
func gateways6(table []byte) []netip.Addr {
	var list []netip.Addr
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 5 || len(fields[4]) != 32 {
			continue
		}
		var b [16]byte
		if _, err := hex.Decode(b[:], fields[4]); err != nil {
			continue
		}
		if a := netip.AddrFrom16(b); !a.IsUnspecified() {
			list = append(list, a)
		}
	}
	return list
}

// nameservers reads resolv.conf, with the comment in which newer engines name those behind their own.
func nameservers(resolv []byte) []netip.Addr {
	var list []netip.Addr
	for line := range strings.Lines(string(resolv)) {
		var words []string
		if rest, ok := strings.CutPrefix(line, "# ExtServers: ["); ok {
			rest, _, _ = strings.Cut(rest, "]")
			words = strings.Fields(rest)
		} else if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" {
			words = fields[1:2]
		}
		for _, w := range words {
			if a, err := netip.ParseAddr(w); err == nil {
				list = append(list, a)
			}
		}
	}
	return list
}
