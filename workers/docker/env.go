package docker

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"

	"github.com/modfarm/modfarm/workers"
)

// Where containers see what the worker's owner gives them.
const (
	caPath  = "/etc/modfarm/ca.pem"
	aptPath = "/etc/apt/apt.conf.d/99modfarm"
)

// BuildEnv is what builds are told about the world outside: how to reach package registries from this network.
// It comes from the worker's owner. Modules see all of it, so it must hold no secret worth keeping from them.
type BuildEnv struct {
	// Vars are environment variables, such as HTTPS_PROXY, GOPROXY or PIP_INDEX_URL.
	Vars map[string]string
	// CABundle is a PEM file on this machine with certificates to trust beside the system's; empty for none.
	CABundle string
	// Apt holds further lines for apt's configuration; empty for none.
	Apt string
}

// systemBundles are where Linux distributions keep the certificates that are trusted anyway.
func systemBundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
	}
}

func (r *Runner) envDir() string { return filepath.Join(r.opts.WorkDir, "env") }

// prepare writes the files that containers read: one bundle with the system's certificates and the owner's (the
// variables that name it replace a program's own list), and apt's settings, which sudo would otherwise lose.
func (e BuildEnv) prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("the work folder is not writable: %w; choose another one", err)
	}
	if e.CABundle != "" {
		own, err := os.ReadFile(e.CABundle)
		if err != nil {
			return fmt.Errorf("CA bundle for builds: %w", err)
		}
		if !bytes.Contains(own, []byte("-----BEGIN CERTIFICATE-----")) {
			return fmt.Errorf("CA bundle for builds %s: no certificate in it; it has to be in PEM form", e.CABundle)
		}
		file, bundle := filepath.Join(dir, "ca.pem"), withSystem(own)
		if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, bundle) {
			return nil // a build that goes on may be reading it
		}
		if err := os.WriteFile(file, bundle, 0o644); err != nil { //nolint:gosec // public
			return fmt.Errorf("write the CA bundle for builds: %w", err)
		}
	}
	return nil
}

// removeApt removes apt's settings of builds that are gone.
func removeApt(dir string, except map[string]bool) error {
	stale, err := filepath.Glob(filepath.Join(dir, "apt-*.conf"))
	for _, file := range stale {
		if !except[file] {
			err = errors.Join(err, os.Remove(file))
		}
	}
	if err != nil {
		return fmt.Errorf("empty the work folder: %w", err)
	}
	return nil
}

// writeApt writes apt's settings for a build, in place: its container has the file mounted. proxy is host:port of the
// one to use instead of the owner's; empty for the owner's.
func (e BuildEnv) writeApt(file, proxy string) error {
	if err := os.WriteFile(file, []byte(e.aptConf(proxy)), 0o644); err != nil { //nolint:gosec // public
		return fmt.Errorf("write apt's settings for a build: %w", err)
	}
	return nil
}

func withSystem(own []byte) []byte {
	for _, path := range systemBundles() {
		if system, err := os.ReadFile(path); err == nil {
			return slices.Concat(bytes.TrimSpace(system), []byte("\n"), own)
		}
	}
	return own
}

func (e BuildEnv) aptConf(proxy string) string {
	var b strings.Builder
	b.WriteString("APT::Keep-Downloaded-Packages \"true\";\nBinary::apt::APT::Keep-Downloaded-Packages \"true\";\n")
	for _, scheme := range []string{"http", "https"} {
		name := scheme + "_proxy"
		v := cmpOr(e.Vars[name], e.Vars[strings.ToUpper(name)])
		if proxy != "" {
			v = "http://" + proxy
		}
		if v != "" && !strings.ContainsAny(v, "\"\n") {
			fmt.Fprintf(&b, "Acquire::%s::Proxy \"%s\";\n", scheme, v)
		}
	}
	if e.CABundle != "" {
		fmt.Fprintf(&b, "Acquire::https::CaInfo \"%s\";\n", caPath)
	}
	if e.Apt != "" {
		b.WriteString(strings.TrimSpace(e.Apt) + "\n")
	}
	return b.String()
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (e BuildEnv) mounts(dir, apt string) []mount.Mount {
	list := []mount.Mount{{Type: mount.TypeBind, Source: apt, Target: aptPath, ReadOnly: true}}
	if e.CABundle != "" {
		list = append(list, mount.Mount{Type: mount.TypeBind, Source: filepath.Join(dir, "ca.pem"), Target: caPath, ReadOnly: true})
	}
	return list
}

// environ is the environment of every build container, before what the pool adds for a step. The owner's
// variables win over ours.
func (e BuildEnv) environ(cached bool) []string {
	vars := map[string]string{"HOME": "/root", "CI": "true", "DEBIAN_FRONTEND": "noninteractive", "GOTOOLCHAIN": "local"}
	if cached {
		for name, folder := range map[string]string{
			"GOCACHE": "go-build", "GOMODCACHE": "go-mod", "PIP_CACHE_DIR": "pip", "CCACHE_DIR": "ccache",
		} {
			vars[name] = workers.CachePath + "/" + folder
		}
	}
	if e.CABundle != "" {
		for _, name := range []string{
			"SSL_CERT_FILE", "GIT_SSL_CAINFO", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
			"CARGO_HTTP_CAINFO",
		} {
			vars[name] = caPath
		}
	}
	for name, value := range e.Vars {
		vars[name] = value
		if lower := strings.ToLower(name); strings.HasSuffix(lower, "_proxy") { // programs read one or the other spelling
			vars[lower], vars[strings.ToUpper(name)] = value, value
		}
	}
	list := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, name+"="+vars[name])
	}
	return list
}

// Secrets are the passwords within the variables, as in the URL of a proxy, for masking them in logs.
func (e BuildEnv) Secrets() []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(e.Vars)) {
		for word := range strings.FieldsFuncSeq(e.Vars[name], func(r rune) bool { return r == ',' || r == '|' || r == ' ' }) {
			u, err := url.Parse(word)
			if err != nil || u.User == nil {
				continue
			}
			if password, ok := u.User.Password(); ok {
				found = append(found, password)
			}
		}
	}
	return found
}
