package docker

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// Reach says what builds reach in addition to the world: by default neither private addresses nor the machine's own.
type Reach struct {
	// Allow are private addresses that builds may reach under the policies full and registries.
	Allow []guard.Destination
	// Registries are hosts that the policy registries lets through in addition to guard.DefaultRegistries and the
	// hosts in the variables of BuildEnv, as HOST, HOST:PORT or *.DOMAIN.
	Registries []string
}

// prepareGuards gives the engine the guards' image, looks at the engine's machine, and proves that a network can be
// guarded: a worker that cannot must not take jobs.
func (r *Runner) prepareGuards(ctx context.Context) error {
	var err error
	if r.guardImage, err = newGuardImage(r.opts.Guard, r.host); err != nil {
		return err
	}
	if err := r.guardImage.ensure(ctx, r.engine); err != nil {
		return err
	}
	survey, err := r.survey(ctx)
	if err != nil {
		return err
	}
	if r.guardConfig, err = r.opts.guardConfig(survey); err != nil {
		return err
	}
	c := r.guardConfig // without the proxies, whose URLs may hold a password
	r.log().DebugContext(ctx, "what builds reach", "allow", c.Allow, "refuse", c.Refuse, "nameservers", c.Nameservers, "registries", c.Registries)
	s, err := r.makeSpare(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", module.ErrUnavailable, err)
	}
	r.spare.most = max(1, r.opts.Slots)
	r.spare.keep(s)
	return nil
}

// survey asks a container in the machine's own network, because this process may be in another one.
func (r *Runner) survey(ctx context.Context) (guard.Survey, error) {
	code, said, err := r.runOnce(ctx, client.ContainerCreateOptions{
		Config: &container.Config{
			Image: r.guardImage.ref, Cmd: append([]string{"survey"}, names(r.opts.Env.endpoints())...), User: "65534:65534",
			Labels: map[string]string{labelWorker: r.opts.Name},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "host", UsernsMode: "host", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, ReadonlyRootfs: true,
		},
		Platform: ociPlatform(r.host),
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("it ended with %d: %s", code, strings.TrimSpace(said))
	}
	if err != nil {
		return guard.Survey{}, fmt.Errorf("%w: look at the network of the engine's machine, which builds must not reach: %w", module.ErrUnavailable, err)
	}
	return guard.ReadSurvey(said)
}

// guardConfig is what the guards of this worker's builds are told. What the owner named in the builds' variables is
// meant to be reached, so it is allowed wherever it is.
func (o Options) guardConfig(s guard.Survey) (guard.Config, error) {
	either := func(name string) string { return cmpOr(o.Env.Vars[name], o.Env.Vars[strings.ToLower(name)]) }
	c := guard.Config{
		Nameservers: s.Nameservers, Refuse: s.Addresses, Allow: slices.Clone(o.Reach.Allow), Registries: guard.DefaultRegistries(),
		HTTPProxy: either("HTTP_PROXY"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY"),
	}
	for _, host := range o.Reach.Registries {
		plain, err := guard.ParseRegistry(host)
		if err != nil {
			return c, fmt.Errorf("%w: registry %w", module.ErrInvalid, err)
		}
		c.Registries = append(c.Registries, plain)
	}
	for _, e := range o.Env.endpoints() {
		if !e.proxy {
			c.Registries = append(c.Registries, net.JoinHostPort(e.host, strconv.Itoa(int(e.port))))
		}
		addrs := s.Hosts[e.host]
		if a, err := netip.ParseAddr(e.host); err == nil {
			addrs = []netip.Addr{a}
		}
		for _, a := range addrs {
			if a = a.Unmap(); !a.IsLoopback() && !a.IsUnspecified() && !a.IsLinkLocalUnicast() {
				c.Allow = append(c.Allow, guard.Destination{Prefix: netip.PrefixFrom(a, a.BitLen()), Port: e.port})
			}
		}
	}
	return c, nil
}

// endpoint is a host that the owner's variables name.
type endpoint struct {
	host  string
	port  uint16
	proxy bool // named as a proxy, not as a registry
}

// endpoints are the hosts of all URLs in the variables, as GOPROXY, PIP_INDEX_URL and HTTPS_PROXY have them.
func (e BuildEnv) endpoints() []endpoint {
	var list []endpoint
	for _, name := range slices.Sorted(maps.Keys(e.Vars)) {
		lower := strings.ToLower(name)
		if lower == "no_proxy" {
			continue
		}
		proxy := strings.HasSuffix(lower, "_proxy")
		for word := range strings.FieldsFuncSeq(e.Vars[name], func(r rune) bool { return r == ',' || r == '|' || r == ' ' }) {
			if proxy && !strings.Contains(word, "://") {
				word = "http://" + word
			}
			u, err := url.Parse(word)
			if err != nil || u.Hostname() == "" {
				continue
			}
			port := cmpOr(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
			if n, err := strconv.ParseUint(port, 10, 16); err == nil {
				list = append(list, endpoint{strings.ToLower(u.Hostname()), uint16(n), proxy})
			}
		}
	}
	return list
}

// names are the hosts that have to be looked up.
func names(list []endpoint) []string {
	var hosts []string
	for _, e := range list {
		if _, err := netip.ParseAddr(e.host); err != nil && !slices.Contains(hosts, e.host) {
			hosts = append(hosts, e.host)
		}
	}
	return hosts
}
