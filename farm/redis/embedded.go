package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Embedded is a Redis server within the process, for a farm on one machine. It keeps nothing on disk.
type Embedded struct {
	server *miniredis.Miniredis
	url    string
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// StartEmbedded starts a server on a free port of the loopback address, with a random password. It runs until ctx
// ends or Close is called.
func StartEmbedded(ctx context.Context) (*Embedded, error) {
	server, password := miniredis.NewMiniRedis(), rand.Text()
	server.RequireAuth(password)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	address := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: server.Addr(), Path: "/0"}
	ctx, stop := context.WithCancel(ctx)
	e := &Embedded{server: server, url: address.String(), stop: stop}
	e.done.Go(func() { e.tick(ctx) })
	return e, nil
}

// URL is what Open takes. It holds the password.
func (e *Embedded) URL() string { return e.url }

// Close stops the server.
func (e *Embedded) Close() {
	e.stop()
	e.done.Wait()
}

// tick moves the server's clock, which stands still by itself: keys would never expire.
func (e *Embedded) tick(ctx context.Context) {
	defer e.server.Close()
	const second = time.Second
	ticker := time.NewTicker(second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.server.FastForward(second)
		}
	}
}
