package client_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cuts is a TCP proxy in front of a farm that breaks its first connections: the i-th after down[i] bytes
// came from the farm or up[i] bytes went to it, whichever is first; 0 is never.
type cuts struct {
	down, up []int64

	mu     sync.Mutex
	broken int
}

// start returns the proxy's URL.
func (c *cuts) start(t *testing.T, target string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ended := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); close(ended); running.Wait() })
	running.Go(func() {
		for i := 0; ; i++ {
			near, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.relay(near, target, at(c.down, i), at(c.up, i), ended) })
		}
	})
	return "http://" + l.Addr().String()
}

func at(limits []int64, i int) int64 {
	if i < len(limits) && limits[i] > 0 {
		return limits[i]
	}
	return 1 << 40
}

// relay copies until one side ends or a limit is reached, and then breaks both.
func (c *cuts) relay(near net.Conn, target string, down, up int64, ended <-chan struct{}) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	done := make(chan bool, 2)
	pipe := func(to io.Writer, from io.Reader, limit int64) {
		n, _ := io.CopyN(to, from, limit)
		done <- n == limit
	}
	go pipe(near, far, down)
	go pipe(far, near, up)
	select {
	case <-ended:
	case broken := <-done:
		if broken {
			c.mu.Lock()
			c.broken++
			c.mu.Unlock()
		}
	}
}

// count is how many connections were broken.
func (c *cuts) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}
