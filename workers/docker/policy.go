package docker

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// setNetwork puts the policy of a step in force before anything of it runs, and gives the variables that the step
// needs under it. A step without a policy gets the one before, and the first one nothing.
func (c *box) setNetwork(ctx context.Context, policy module.NetworkPolicy) (env []string, err error) {
	if policy == "" {
		policy = c.guard.policy
	}
	if policy != c.guard.policy {
		if _, err := c.guard.order(ctx, guard.Order{Policy: policy}); err != nil {
			return nil, err
		}
		if err := c.r.opts.Env.writeApt(c.apt, c.guard.proxy); err != nil {
			return nil, err
		}
	}
	if policy == module.NetworkRegistries {
		env = throughProxy(c.guard.proxy)
	}
	return env, nil
}

// throughProxy are the variables of a step that reaches registries only.
func throughProxy(address string) []string {
	const local = "localhost,127.0.0.1,::1"
	via := "http://" + address
	return []string{
		"http_proxy=" + via, "HTTP_PROXY=" + via, "https_proxy=" + via, "HTTPS_PROXY=" + via, "all_proxy=", "ALL_PROXY=",
		"no_proxy=" + local, "NO_PROXY=" + local,
	}
}

// refusals are the hosts that the proxy refused a step, in order and each once.
type refusals struct {
	mu    sync.Mutex
	hosts []string
}

// announce tells the build's log what the proxy refuses when it happens: programs hardly say it.
func (r *refusals) announce(out io.Writer) func(hostport string) {
	return func(hostport string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		const most = 50 // a build can make up hosts
		if len(r.hosts) >= most || slices.Contains(r.hosts, hostport) {
			return
		}
		r.hosts = append(r.hosts, hostport)
		fmt.Fprintf(out, "modfarm: %s was refused: it is none of the registries that this step may reach. Set network: full for the step in "+
			"modfarm.yaml, or have the worker's owner add --build-registry %s\n", hostport, strings.TrimSuffix(hostport, ":443"))
	}
}

func (r *refusals) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.hosts)
}

// blocked asks what the packet filter refused a failed step, since programs see a refused connection only. A guard
// that does not answer any more is the machine's fault, and the step's failure its consequence.
func (c *box) blocked(ctx context.Context) ([]string, error) {
	if c.guard.policy == module.NetworkNone {
		return nil, nil // refusals are what was asked for
	}
	answer, err := c.guard.order(ctx, guard.Order{Policy: c.guard.policy})
	if err == nil {
		err = c.r.opts.Env.writeApt(c.apt, c.guard.proxy) // the proxy has another port now
	}
	return answer.Blocked, err
}

// shared lets the guard's words and a command's output go to one writer.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
