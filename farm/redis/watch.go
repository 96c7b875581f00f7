package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// WatchLog implements farm.Bell. All watchers of a process share one connection to the server, which is made for the
// first and closed after the last. It returns when the server has confirmed, so that nothing published afterwards is
// missed; when the server is away the watch begins once it is back. What is told while a connection is broken is lost.
func (r *Redis) WatchLog(ctx context.Context, jobID string) (<-chan struct{}, error) {
	return r.watchers.add(ctx, r.logs(jobID))
}

// watchers wait for messages on channels.
type watchers struct {
	client *redis.Client

	mu  sync.Mutex
	sub *redis.PubSub // nil while nobody watches
	by  map[string]*channel
}

// channel is who waits for the messages of one channel.
type channel struct {
	confirmed chan struct{} // closed when the server has subscribed us
	once      sync.Once
	grown     map[chan struct{}]bool
}

// add subscribes to a channel, if nobody has, until ctx ends.
func (w *watchers) add(ctx context.Context, name string) (<-chan struct{}, error) {
	grown := make(chan struct{}, 1)
	confirmed, err := w.join(ctx, name, grown)
	context.AfterFunc(ctx, func() { w.leave(context.WithoutCancel(ctx), name, grown) })
	if err != nil {
		return grown, ctx.Err() // the library subscribes when it has a connection again
	}
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	select {
	case <-confirmed:
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return grown, nil
}

func (w *watchers) join(ctx context.Context, name string, grown chan struct{}) (confirmed <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sub == nil {
		w.sub = w.client.Subscribe(context.WithoutCancel(ctx))
		go w.deliver(w.sub.ChannelWithSubscriptions(redis.WithChannelSize(1000)))
	}
	c := w.by[name]
	if c == nil {
		c = &channel{confirmed: make(chan struct{}), grown: map[chan struct{}]bool{}}
		w.by[name] = c
		call, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		err = w.sub.Subscribe(call, name)
	}
	c.grown[grown] = true
	return c.confirmed, err
}

// leave ends one watch.
func (w *watchers) leave(ctx context.Context, name string, grown chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.by[name]
	if c == nil {
		return
	}
	delete(c.grown, grown)
	if len(c.grown) > 0 || w.sub == nil {
		return
	}
	delete(w.by, name)
	if len(w.by) > 0 {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		_ = w.sub.Unsubscribe(ctx, name) // a server that is away has forgotten it already
	}
	_ = w.tidy()
}

// tidy closes the connection when nobody watches any more. The caller holds mu.
func (w *watchers) tidy() error {
	if len(w.by) > 0 || w.sub == nil {
		return nil
	}
	sub := w.sub
	w.sub = nil
	return sub.Close()
}

// deliver wakes the watchers of each message's channel until the connection is closed.
func (w *watchers) deliver(messages <-chan any) {
	for m := range messages {
		switch m := m.(type) {
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				w.wake(m.Channel, true)
			}
		case *redis.Message:
			w.wake(m.Channel, false)
		}
	}
}

// wake wakes who watches a channel: also when the server subscribed us again, as something may have been lost before.
// The first confirmation is for join.
func (w *watchers) wake(name string, confirmed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.by[name]
	if c == nil {
		return
	}
	first := false
	if confirmed {
		c.once.Do(func() { close(c.confirmed); first = true })
	}
	if first {
		return
	}
	for grown := range c.grown {
		select {
		case grown <- struct{}{}:
		default:
		}
	}
}

// close ends all watches.
func (w *watchers) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.by)
	return w.tidy()
}
