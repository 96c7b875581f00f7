package images

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// BuildEnv says how this machine reaches the outside: the same settings that builds are
// given. The zero value is a machine with nothing in between.
type BuildEnv struct {
	// HTTPProxy, HTTPSProxy and NoProxy are as in the environment variables of these
	// names; empty for none.
	HTTPProxy, HTTPSProxy, NoProxy string
	// GOPROXY is where the Go toolchain comes from, as in Go's own variable; empty for
	// https://proxy.golang.org. The entries "direct" and "off" cannot serve a toolchain
	// and are passed over.
	GOPROXY string
	// CABundle is a PEM file with the certificates to trust beside the system's; empty
	// for none.
	CABundle string
}

// proxyVars are the environment variables that programs read proxies from.
func (e BuildEnv) proxyVars() []string {
	var vars []string
	for _, v := range []struct{ name, value string }{
		{"http_proxy", e.HTTPProxy}, {"https_proxy", e.HTTPSProxy}, {"no_proxy", e.NoProxy},
	} {
		if v.value != "" {
			vars = append(vars, v.name+"="+v.value, strings.ToUpper(v.name)+"="+v.value)
		}
	}
	return vars
}

// goProxies are the module proxies to ask, in order.
func (e BuildEnv) goProxies() []string {
	var proxies []string
	for _, p := range strings.FieldsFunc(e.GOPROXY, func(r rune) bool { return r == ',' || r == '|' }) {
		if strings.Contains(p, "://") {
			proxies = append(proxies, strings.TrimSuffix(p, "/"))
		}
	}
	if len(proxies) == 0 {
		return []string{"https://proxy.golang.org"}
	}
	return proxies
}

// httpClient is a client that goes through the proxies and trusts the CA bundle.
func (e BuildEnv) httpClient() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if e.HTTPProxy != "" || e.HTTPSProxy != "" {
		transport.Proxy = e.proxy
	}
	if e.CABundle != "" {
		pem, err := os.ReadFile(e.CABundle)
		if err != nil {
			return nil, fmt.Errorf("CA bundle: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA bundle %s: no certificate in it; it has to be in PEM form", e.CABundle)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}

// proxy picks the proxy for a request by the rules of the environment variables.
func (e BuildEnv) proxy(req *http.Request) (*url.URL, error) {
	config := httpproxy.Config{HTTPProxy: e.HTTPProxy, HTTPSProxy: e.HTTPSProxy, NoProxy: e.NoProxy}
	return config.ProxyFunc()(req.URL)
}
