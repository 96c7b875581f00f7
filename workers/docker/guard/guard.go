// Package guard limits what one build can reach. It runs in a container of its own that shares nothing with the
// build's container but the network namespace, and owns the packet filter in there and the proxy for registries.
// It never starts containers and never sees the build's files; workers/docker tells it what to do, line by line.
package guard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"github.com/modfarm/modfarm/module"
)

// Config is what a guard has to know of the world around it.
type Config struct {
	// Nameservers are those of the engine's machine. Builds may ask them for names wherever they are.
	Nameservers []netip.Addr `json:"nameservers,omitempty"`
	// Refuse are further addresses that no build reaches: the engine's machine itself.
	Refuse []netip.Addr `json:"refuse,omitempty"`
	// Allow are destinations that builds reach although they are private or the machine's.
	Allow []Destination `json:"allow,omitempty"`
	// Registries are the hosts that the policy registries lets through; see ParseRegistry.
	Registries []string `json:"registries,omitempty"`
	// HTTPProxy, HTTPSProxy and NoProxy are the way from here to the world, as in the variables of these names.
	HTTPProxy  string `json:"http_proxy,omitempty"`
	HTTPSProxy string `json:"https_proxy,omitempty"`
	NoProxy    string `json:"no_proxy,omitempty"`
}

// Order is one line from the worker: a policy to put in force. The first one has to bring a Config.
type Order struct {
	Config *Config              `json:"config,omitempty"`
	Policy module.NetworkPolicy `json:"policy"`
}

// Report is one line to the worker. An order is answered by one with Done; a refusal of the proxy comes when it
// happens.
type Report struct {
	// Done says that the last order was carried out, or with Error that it was not.
	Done  bool   `json:"done,omitempty"`
	Error string `json:"error,omitempty"`
	// Proxy is host:port of the proxy for registries while their policy is in force.
	Proxy string `json:"proxy,omitempty"`
	// Refused is a host:port that the proxy refused.
	Refused string `json:"refused,omitempty"`
	// Blocked are destinations that the packet filter refused under the policy that ends with this order.
	Blocked []string `json:"blocked,omitempty"`
}

// Run carries out orders until they end. The packet filter stays in force for as long as the namespace lives; the
// proxy ends with Run.
func Run(ctx context.Context, orders io.Reader, reports io.Writer) error {
	g := &guard{out: json.NewEncoder(reports)}
	defer g.stopProxy()
	in := json.NewDecoder(bufio.NewReader(orders))
	for {
		var o Order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read an order: %w", err)
		}
		answer := Report{Done: true}
		if err := g.carryOut(ctx, o, &answer); err != nil {
			answer = Report{Done: true, Error: err.Error()}
		}
		if err := g.report(answer); err != nil {
			return err
		}
	}
}

type guard struct {
	config Config
	facts  facts
	proxy  *proxy

	mu  sync.Mutex // reports come from the proxy, too
	out *json.Encoder
}

func (g *guard) report(r Report) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.out.Encode(r); err != nil {
		return fmt.Errorf("report to the worker: %w", err)
	}
	return nil
}

// carryOut puts a policy in force. The proxy of an earlier one ends first, so that a tightened policy leaves no
// connection behind; the packet filter is exchanged in one step.
func (g *guard) carryOut(ctx context.Context, o Order, answer *Report) error {
	if o.Config != nil {
		f, err := lookAround(o.Config)
		if err != nil {
			return err
		}
		g.config, g.facts = *o.Config, f
	} else if g.facts.nameservers == nil {
		return errors.New("the first order brings no configuration")
	}
	switch o.Policy {
	case module.NetworkFull, module.NetworkRegistries, module.NetworkNone:
	default:
		return fmt.Errorf("%w: network policy %q", module.ErrInvalid, o.Policy)
	}
	answer.Blocked = blocked()
	g.stopProxy()
	if err := install(g.config, g.facts, o.Policy); err != nil {
		return err
	}
	if o.Policy != module.NetworkRegistries {
		return nil
	}
	p, err := startProxy(ctx, g.config, g.facts, func(host string) { _ = g.report(Report{Refused: host}) })
	if err != nil {
		return err
	}
	g.proxy, answer.Proxy = p, p.address
	return nil
}

func (g *guard) stopProxy() {
	if g.proxy != nil {
		g.proxy.close()
		g.proxy = nil
	}
}
