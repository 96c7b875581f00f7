package docker

import (
	"context"

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
