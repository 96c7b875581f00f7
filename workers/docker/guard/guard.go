// Package guard limits what one build can reach. It runs in a container of its own that shares nothing with the
// build's container but the network namespace, and owns the packet filter in there and the proxy for registries.
// It never starts containers and never sees the build's files; workers/docker tells it what to do, line by line.
package guard

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

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
	// Alone is how long the guard goes on without a word from a worker, for the next process of that worker to come;
	// zero for as long as its orders do not end.
	Alone time.Duration `json:"alone,omitempty"`
}

// Order is one line from the worker. The first one has to bring a Config and a Policy. An empty one only says that
// the worker is there.
type Order struct {
	// ID is repeated in the answer; an order without one gets none.
	ID     string  `json:"id,omitempty"`
	Config *Config `json:"config,omitempty"`
	// Policy is to be put in force; empty for what is in force.
	Policy module.NetworkPolicy `json:"policy,omitempty"`
	// Open names a pipe below PipesPath, to read from now on instead of the one before; Close ends that, and what was
	// read stays until the next Open.
	Open  string `json:"open,omitempty"`
	Close bool   `json:"close,omitempty"`
	// Fresh has the build forgotten that was guarded until now, for the next one: its output, and the connections that
	// the packet filter takes answers for. The policy is best none with it, and nothing of the build may run any more.
	Fresh bool `json:"fresh,omitempty"`
	// From asks for the output of the pipe again, from an offset on.
	From *int64 `json:"from,omitempty"`
	// Ack says how much of the output will not be asked for again.
	Ack int64 `json:"ack,omitempty"`
}

// Report is one line to the worker: the answer to an order, or output.
type Report struct {
	// ID is that of the order which was carried out, or with Error was not.
	ID    string `json:"id,omitempty"`
	Error string `json:"error,omitempty"`
	// Policy is in force, and Proxy is host:port of the proxy for registries while that is their policy.
	Policy module.NetworkPolicy `json:"policy,omitempty"`
	Proxy  string               `json:"proxy,omitempty"`
	// Blocked are destinations that the packet filter refused under the policy that ends with this order.
	Blocked []string `json:"blocked,omitempty"`
	// Pipe is the one that is read, and Begun says that somebody has opened it to write.
	Pipe  string `json:"pipe,omitempty"`
	Begun bool   `json:"begun,omitempty"`
	// Refused are host:port that the proxy refused since the pipe was opened.
	Refused []string `json:"refused,omitempty"`

	// Output is Data at the offset At of Pipe; End says that nobody can write there any more.
	Output bool   `json:"output,omitempty"`
	At     int64  `json:"at,omitempty"`
	Data   []byte `json:"data,omitempty"`
	End    bool   `json:"end,omitempty"`
}

const (
	// firstOrder is how long a guard waits for its first order.
	firstOrder = 5 * time.Minute
	// maxOrder bounds one order, in bytes.
	maxOrder = 1 << 20
)

// Run carries out orders until they end, or none comes for as long as Config.Alone. The packet filter stays in force
// for as long as the namespace lives; the proxy and the reading of pipes end with Run.
func Run(ctx context.Context, orders io.Reader, reports io.Writer) error {
	return run(ctx, orders, reports, PipesPath)
}

func run(ctx context.Context, orders io.Reader, reports io.Writer, pipes string) error {
	g := &guard{pipes: pipes, out: json.NewEncoder(reports)}
	defer g.stopProxy()
	defer g.closePipe()
	lines, ended := make(chan []byte), make(chan error, 1)
	go readLines(orders, lines, ended)
	alone := time.NewTimer(firstOrder)
	defer alone.Stop()
	for {
		select {
		case line := <-lines:
			if err := g.handle(ctx, line); err != nil {
				return err
			}
			if alone.Stop(); g.config.Alone > 0 {
				alone.Reset(g.config.Alone)
			}
		case err := <-ended:
			return err
		case <-alone.C:
			return nil
		}
	}
}

// readLines hands over the lines of orders. Nobody waits for it: the program ends with Run.
func readLines(orders io.Reader, lines chan<- []byte, ended chan<- error) {
	in := bufio.NewScanner(orders)
	in.Buffer(nil, maxOrder)
	for in.Scan() {
		lines <- bytes.Clone(in.Bytes())
	}
	if err := in.Err(); err != nil {
		ended <- fmt.Errorf("read an order: %w", err)
		return
	}
	ended <- nil
}

type guard struct {
	pipes  string // their folder
	config Config
	facts  facts
	policy module.NetworkPolicy
	proxy  *proxy
	pipe   *pipe // nil before the first one

	refusing sync.Mutex // the proxy does
	refused  []string   // since the pipe was opened
	saying   *pipe      // where that is said

	mu  sync.Mutex // reports come from the pipe, too
	out *json.Encoder
}

// handle carries out one order. What is none was cut off when a worker was killed, and nobody waits for an answer.
func (g *guard) handle(ctx context.Context, line []byte) error {
	var o Order
	if json.Unmarshal(line, &o) != nil {
		return nil //nolint:nilerr // see above
	}
	answer := Report{}
	if err := g.carryOut(ctx, o, &answer); err != nil {
		answer = Report{Error: err.Error()}
	}
	if o.ID == "" {
		return nil
	}
	answer.ID = o.ID
	return g.report(answer)
}

func (g *guard) report(r Report) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.out.Encode(r); err != nil {
		return fmt.Errorf("report to the worker: %w", err)
	}
	return nil
}

// carryOut carries out an order.
func (g *guard) carryOut(ctx context.Context, o Order, answer *Report) error {
	if o.Config != nil || o.Policy != "" {
		if err := g.enforce(ctx, o, answer); err != nil {
			return err
		}
	}
	if o.Fresh {
		g.closePipe()
		if err := forgetConnections(); err != nil {
			return err
		}
	}
	if err := g.read(o); err != nil {
		return err
	}
	answer.Policy = g.policy
	if g.proxy != nil {
		answer.Proxy = g.proxy.address
	}
	if g.pipe != nil {
		answer.Pipe, answer.Begun = g.pipe.name, g.pipe.hasBegun()
	}
	g.refusing.Lock()
	defer g.refusing.Unlock()
	answer.Refused = slices.Clone(g.refused)
	return nil
}

// read carries out what an order says about the pipe.
func (g *guard) read(o Order) error {
	if o.Open != "" {
		g.closePipe()
		p, err := openPipe(g.pipes, o.Open, g.report)
		if err != nil {
			return err
		}
		g.usePipe(p)
	}
	switch {
	case g.pipe == nil && o.From != nil:
		return errors.New("no pipe is read")
	case g.pipe == nil:
		return nil
	}
	if o.Close {
		g.pipe.close()
	}
	if o.Ack > 0 {
		g.pipe.forget(o.Ack)
	}
	if o.From != nil {
		return g.pipe.sendFrom(*o.From)
	}
	return nil
}

func (g *guard) closePipe() {
	if g.pipe != nil {
		g.pipe.close()
		g.pipe.stop()
		g.usePipe(nil)
	}
}

func (g *guard) usePipe(p *pipe) {
	g.refusing.Lock()
	defer g.refusing.Unlock()
	g.pipe, g.saying, g.refused = p, p, nil
}

// refuse notes a host that the proxy refused and says so in the output of the build: programs hardly do.
func (g *guard) refuse(hostport string) {
	g.refusing.Lock()
	defer g.refusing.Unlock()
	const most = 50 // a build can make up hosts
	if len(g.refused) >= most || slices.Contains(g.refused, hostport) {
		return
	}
	g.refused = append(g.refused, hostport)
	if g.saying != nil {
		g.saying.add(fmt.Appendf(nil, "modfarm: %s was refused: it is none of the registries that this step may reach. Set network: full for the step in "+
			"modfarm.yaml, or have the worker's owner add --build-registry %s\n", hostport, strings.TrimSuffix(hostport, ":443")))
	}
}

// enforce puts a policy in force. The proxy of an earlier one ends first, so that a tightened policy leaves no
// connection behind; the packet filter is exchanged in one step.
func (g *guard) enforce(ctx context.Context, o Order, answer *Report) error {
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
	g.policy = o.Policy
	if o.Policy != module.NetworkRegistries {
		return nil
	}
	p, err := startProxy(ctx, g.config, g.facts, g.refuse)
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
