package guard_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/workers/docker/guard"
)

func TestParseDestination(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.1.2.3":         "10.1.2.3/32",
		"10.1.2.3/8":       "10.0.0.0/8",
		"10.1.2.3:443":     "10.1.2.3/32:443",
		"10.1.0.0/16:8080": "10.1.0.0/16:8080",
		"fd00::1":          "fd00::1/128",
		"fd00::/8":         "fd00::/8",
		"[fd00::1]:443":    "[fd00::1/128]:443",
		"[fd00::/8]:443":   "[fd00::/8]:443",
		"[fd00::1]":        "fd00::1/128",
	} {
		d, err := guard.ParseDestination(in)
		if err != nil || d.String() != want {
			t.Errorf("%s: %v, %v; want %s", in, d, err, want)
			continue
		}
		var again guard.Destination
		if err := json.Unmarshal(fmt.Appendf(nil, "%q", d), &again); err != nil || again != d {
			t.Errorf("%s does not come back from its text: %v, %v", in, again, err)
		}
	}
	for _, in := range []string{"", "mirror.example.com", "10.0.0.0/40", "10.0.0.1:0", "10.0.0.1:http", "[fd00::1", "[fd00::1]443", "fe80::1%eth0", "10.0.0.1:70000"} {
		if d, err := guard.ParseDestination(in); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", in)) {
			t.Errorf("%q: %v, %v; want an error that names it", in, d, err)
		}
	}
}

func TestRegistries(t *testing.T) {
	t.Parallel()
	var list []string
	for _, s := range []string{"Proxy.Example.com", "mirror.example.com:8081", "*.corp.example", "192.0.2.7:3000"} {
		plain, err := guard.ParseRegistry(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, plain)
	}
	for _, s := range []string{"", "https://a.example", "a/b", "a.example:http", "*", "*.", "a..b", "a.example:0"} {
		if got, err := guard.ParseRegistry(s); err == nil {
			t.Errorf("%q was taken for the host %q", s, got)
		}
	}
	for at, want := range map[string]bool{
		"proxy.example.com:443": true, "PROXY.example.com.:80": true, "proxy.example.com:22": false, "xproxy.example.com:443": false,
		"mirror.example.com:8081": true, "mirror.example.com:443": false,
		"a.corp.example:443": true, "a.b.corp.example:80": true, "corp.example:443": false, "evilcorp.example:443": false,
		"192.0.2.7:3000": true, "192.0.2.7:443": false, "other.example:443": false,
	} {
		host, port, _ := strings.Cut(at, ":")
		if got := guard.Allowed(list, host, port); got != want {
			t.Errorf("%s: allowed is %v", at, got)
		}
	}
	for _, host := range guard.DefaultRegistries() {
		if plain, err := guard.ParseRegistry(host); err != nil || plain != host {
			t.Errorf("the default %q: %q, %v", host, plain, err)
		}
	}
}

func TestAddressesThatAreNotPublic(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"10.0.0.1": true, "172.16.0.1": true, "172.31.255.255": true, "172.32.0.1": false, "192.168.0.1": true, "100.64.0.1": true, "100.128.0.1": false,
		"169.254.169.254": true, "100.100.100.200": true, "168.63.129.16": true, "192.0.0.192": true, "127.0.0.1": true, "0.0.0.0": true,
		"224.0.0.251": true, "255.255.255.255": true, "8.8.8.8": false, "192.0.2.1": false, "203.0.113.80": false,
		"::": true, "::1": true, "::ffff:8.8.8.8": true, "fd00:ec2::254": true, "fe80::1": true, "ff02::1": true, "2606:4700::1111": false,
		"64:ff9b::8.8.8.8": false, "64:ff9b::169.254.169.254": true, "2002:0a00:0001::1": true, "2002:0808:0808::1": false,
	} {
		if got := guard.Refuses(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: refused is %v", address, got)
		}
	}
}

func TestReadingTheNamespace(t *testing.T) {
	t.Parallel()
	order := func(a string) string {
		b := netip.MustParseAddr(a).As4()
		return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b[:]))
	}
	v4 := "Iface\tDestination\tGateway \tFlags\n" + "eth0\t00000000\t" + order("172.18.0.1") + "\t0003\neth0\t" + order("172.18.0.0") + "\t00000000\t0001\n"
	v6 := "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 0 0 00000003 eth0\n" +
		"fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 0 0 00000001 eth0\n"
	if diff := cmp.Diff("[172.18.0.1 fd00::1]", fmt.Sprint(guard.Gateways(v4, v6))); diff != "" {
		t.Error(diff)
	}
	resolv := "search example.com\nnameserver 127.0.0.11\noptions ndots:0\n# ExtServers: [10.0.0.53 host(127.0.0.53) fd00::53]\nnameserver\nnameserver nonsense\n"
	if diff := cmp.Diff("[127.0.0.11 10.0.0.53 fd00::53]", fmt.Sprint(guard.Nameservers(resolv))); diff != "" {
		t.Error(diff)
	}
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := guard.TakeSurvey(t.Context(), []string{"localhost", "no-such-host.invalid"}, &out); err != nil {
		t.Fatal(err)
	}
	s, err := guard.ReadSurvey(out.String())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Addresses) == 0 || len(s.Hosts["localhost"]) == 0 || len(s.Hosts["no-such-host.invalid"]) > 0 {
		t.Errorf("the survey is %s", out.String())
	}
	if _, err := guard.ReadSurvey("exec format error"); err == nil || !strings.Contains(err.Error(), "exec format error") {
		t.Errorf("error %v, want one that quotes what was said", err)
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	t.Parallel()
	for order, says := range map[string]string{
		`{"id":"a","policy":"none"}`:                     "brings no configuration",
		`{"id":"a","config":{},"policy":"sometimes"}`:    "sometimes",
		`{"id":"a","from":0}`:                            "no pipe",
		`{"id":"a","open":"absent"}`:                     "absent",
		`{"id":"a","open":"../out"}`:                     "not in the folder",
		"{\"id\":\"b\",\"poli\n" + `{"id":"a","from":0}`: "no pipe", // a worker was killed in the middle of an order
	} {
		var out bytes.Buffer
		if err := guard.Run(t.Context(), strings.NewReader(order), &out); err != nil {
			t.Fatal(err)
		}
		var r guard.Report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.ID != "a" || !strings.Contains(r.Error, says) {
			t.Errorf("%s: report %s, %v; want %q", order, out.String(), err, says)
		}
	}
}
