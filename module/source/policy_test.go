package source_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/source"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"github.com": "140.82.121.4", "inside.example": "10.1.2.3", "rebind.example": "127.0.0.1",
		"mapped.example": "::ffff:169.254.169.254", "six.example": "2606:50c0:8000::153", "nat64.example": "64:ff9b::a00:1",
	}
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		if a, ok := names[host]; ok {
			return []netip.Addr{netip.MustParseAddr(a)}, nil
		}
		return nil, errors.New("no such host")
	}
	tests := []struct {
		url    string
		strict string // what the refusal says; empty: accepted
		open   string // the same under AllowPrivate
	}{
		{"https://github.com/acme/widget", "", ""},
		{"https://six.example/acme/widget.git", "", ""},
		{"http://github.com/acme/widget", "use https", ""},
		{"http://127.0.0.1:8080/acme/widget.git", "", ""},
		{"http://[::1]:8080/acme/widget.git", "", ""},
		{"http://localhost:8080/acme/widget.git", "", ""},
		{"https://10.0.0.1/x", "private addresses", ""},
		{"https://192.168.1.10:8443/x", "private addresses", ""},
		{"https://169.254.169.254/latest", "private addresses", ""},
		{"https://100.100.100.200/x", "private addresses", ""},
		{"https://0.0.0.0/x", "private addresses", ""},
		{"https://[fe80::1]/x", "private addresses", ""},
		{"https://[fd00::1]/x", "private addresses", ""},
		{"https://inside.example/x", "inside.example is 10.1.2.3", ""},
		{"https://rebind.example/x", "private addresses", ""},
		{"https://mapped.example/x", "private addresses", ""},
		{"https://nat64.example/x", "private addresses", ""},
		{"https://2130706433/x", "unknown", ""},
		{"https://nowhere.example/x", "unknown", ""},
		{"git@github.com:acme/widget.git", "not an https address", "not an https address"},
		{"ssh://git@github.com/acme/widget", "ssh addresses", "ssh addresses"},
		{"ssh://github.com/acme/widget", "ssh addresses", "ssh addresses"},
		{"git://github.com/acme/widget", "git addresses", "git addresses"},
		{"file:///etc", "file addresses are not allowed", "file addresses are not allowed"},
		{"/srv/git/x", "not an https address", "not an https address"},
		{"ext::sh -c id", "ext addresses", "ext addresses"},
		{"ext::id", "ext addresses are not allowed", "ext addresses are not allowed"},
		{"https://user:hunter22@github.com/acme/widget", "user name", "user name"},
		{"https://github.com/acme/widget?x=1", "query", "query"},
		{"https://github.com/a b", "space", "space"},
		{"--upload-pack=id", "not an https address", "not an https address"},
		{"", "not an https address", "not an https address"},
	}
	for _, tc := range tests {
		for _, open := range []bool{false, true} {
			git := &source.Git{Policy: source.Policy{AllowPrivate: open}, Lookup: lookup}
			want := tc.strict
			if open {
				want = tc.open
			}
			err := git.Check(t.Context(), tc.url)
			switch {
			case want == "" && err != nil:
				t.Errorf("%q (private allowed: %v): %v, want it accepted", tc.url, open, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%q (private allowed: %v): error %v, want %q", tc.url, open, err, want)
			case want != "" && want != "unknown" && !errors.Is(err, module.ErrInvalid):
				t.Errorf("%q: error %v is no refusal", tc.url, err)
			case err != nil && strings.Contains(err.Error(), "hunter22"):
				t.Errorf("%q: the error contains the password: %v", tc.url, err)
			}
		}
	}
}
