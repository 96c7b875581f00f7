package main

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
)

func nodeFaults() []fault {
	return []fault{{
		name: "farm-node-killed-postgres",
		does: "kill -9 of one of two farms on one PostgreSQL and one Redis, behind a load balancer, while two workers build",
		then: "the other one goes on with both builds, attempt 1, and takes new ones", within: backSoon, short: true,
		before: onSharedPostgres, run: killNode,
	}}
}

// onSharedPostgres has the farm keep everything where another one finds it.
func onSharedPostgres(t *trial) {
	onPostgres(t)
	t.farmArgs = append(t.farmArgs, "--blobs", filepath.Join(t.dir, "blobs"))
}

// killNode has two farms share the work: what one was asked for is seen at the other, and each worker and reader may
// be with either. Then one of them ends.
func killNode(t *trial) time.Duration {
	first, one := t.farm, t.client
	second, two := t.secondNode()
	balancer := t.balance(first.URL(), second.URL())
	t.gateURL = balancer.url
	id, key := second.Key()
	either, err := client.New(client.Config{URL: balancer.url, KeyID: id, Key: key})
	t.must("reach the balancer", err)
	t.startWorker("first")
	t.startWorker("second")

	a, b := t.newModule("module", shape{waits: stepBuild}), t.newModule("other", shape{waits: stepBuild})
	a.attempts, b.attempts = 1, 1
	a.submitAt(one, two)
	b.submitAt(two, either)
	a.awaitStep(stepBuild)
	b.awaitStep(stepBuild)
	if balancer.passed[0].Load() == 0 || balancer.passed[1].Load() == 0 {
		t.fail("the farms share nothing: %d and %d connections", balancer.passed[0].Load(), balancer.passed[1].Load())
	}

	t.farm, t.client = second, two
	t.must("kill a farm", first.Kill())
	began, seen := time.Now(), [2]int{len(a.log.read()), len(b.log.read())}
	t.until("both logs go on", func() (bool, error) {
		return len(a.log.read()) > seen[0] && len(b.log.read()) > seen[1], nil
	})
	noticed := time.Since(began)
	a.letGo()
	b.letGo()
	t.submit("late", shape{})
	return noticed
}

// submitAt is submit at one farm, with a reader of the log at another.
func (b *build) submitAt(at, read *client.Client) {
	b.t.client = at
	id, err := at.StartBuild(b.t.ctx, b.req)
	b.t.must("submit a build", err)
	b.t.client = read
	b.accepted(id)
}

// secondNode starts a farm on the database, the archives, the Redis and the secrets of the trial's.
func (t *trial) secondNode() (*road.Farm, *client.Client) {
	dir := filepath.Join(t.dir, "second-node")
	t.must("make a folder", os.MkdirAll(filepath.Join(dir, "farm"), 0o700))
	for _, name := range []string{"farm.key", "worker.token", "api-key.env"} {
		text, err := os.ReadFile(filepath.Join(t.farm.Dir(), name))
		t.must("read a secret of the first farm", err)
		t.must("copy a secret", os.WriteFile(filepath.Join(dir, "farm", name), text, 0o600))
	}
	args := append([]string{"--allow-private-repositories", "--log-level", "debug", "--database", t.database}, t.farmArgs...)
	node, err := road.StartServe(t.ctx, road.Config{Dir: dir, Modfarm: t.modfarm, UpArgs: args}, t.redis.url())
	t.must("start a second farm", err)
	t.atEnd(node.Kill)
	c, err := node.Client()
	t.must("reach the second farm", err)
	return node, c
}

// balancer passes connections on to farms, one after the other, and leaves out those that do not answer. It knows
// nothing of what it passes on.
type balancer struct {
	url    string
	nodes  []string       // host:port
	passed []atomic.Int64 // connections, by node
	next   atomic.Int64
}

func (t *trial) balance(urls ...string) *balancer {
	l, err := (&net.ListenConfig{}).Listen(t.ctx, "tcp", t.host+":0")
	t.must("listen", err)
	b := &balancer{url: "http://" + l.Addr().String(), passed: make([]atomic.Int64, len(urls))}
	for _, text := range urls {
		u, err := url.Parse(text)
		t.must("read the address of a farm", err)
		b.nodes = append(b.nodes, u.Host)
	}
	ctx, stop := context.WithCancel(t.ctx)
	t.atEnd(func() error { stop(); return l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(ctx, conn)
		}
	}()
	return b
}

// pass connects one caller with a farm that answers, until either hangs up.
func (b *balancer) pass(ctx context.Context, caller net.Conn) {
	defer caller.Close()
	for range b.nodes {
		i := int(b.next.Add(1)) % len(b.nodes)
		farm, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", b.nodes[i])
		if err != nil {
			continue
		}
		b.passed[i].Add(1)
		stop := context.AfterFunc(ctx, func() { _ = farm.Close() })
		go func() {
			_, _ = io.Copy(farm, caller) // whoever hangs up ends both
			_ = farm.Close()
		}()
		_, _ = io.Copy(caller, farm)
		_ = farm.Close()
		stop()
		return
	}
}
