package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// helloTimeout is how long a connection may take to say its first byte.
	helloTimeout = 10 * time.Second
	// handshakeByte is the first byte of every TLS connection, and of no HTTP one.
	handshakeByte = 22
)

// WithTLS returns a listener on the port of l that serves TLS to connections that begin with it and lets
// all others through in the clear: a client chooses by the scheme of its address. The clear ones keep what
// net/http needs to send files without copying them. Closing it, and not the end of ctx, closes l.
func WithTLS(ctx context.Context, l *net.TCPListener, cfg *tls.Config) net.Listener {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &tlsListener{TCPListener: l, cfg: cfg, ctx: ctx, stop: stop, ready: make(chan accepted)}
	t.running.Go(t.accept)
	return t
}

// tlsListener waits for the first byte of each connection beside the others: clients open connections and
// say nothing, for a while or at all.
type tlsListener struct {
	*net.TCPListener
	cfg     *tls.Config
	ready   chan accepted
	ctx     context.Context //nolint:containedctx // the life of the listener
	stop    context.CancelFunc
	running sync.WaitGroup
}

type accepted struct {
	conn net.Conn
	err  error
}

// Accept returns the next connection that began to speak.
func (t *tlsListener) Accept() (net.Conn, error) {
	select {
	case a := <-t.ready:
		return a.conn, a.err
	case <-t.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends accepting, and the connections that were not handed out.
func (t *tlsListener) Close() error {
	t.stop()
	err := t.TCPListener.Close()
	t.running.Wait()
	return err
}

// accept hands errors on, too: the server knows which ones to wait out.
func (t *tlsListener) accept() {
	for t.ctx.Err() == nil {
		c, err := t.AcceptTCP()
		if err == nil {
			t.running.Go(func() { t.sort(c) })
			continue
		}
		t.hand(accepted{err: err})
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// sort reads the first byte and hands the connection out. One that never says anything was a probe.
func (t *tlsListener) sort(c *net.TCPConn) {
	hurry := context.AfterFunc(t.ctx, func() { _ = c.Close() })
	s := &spoken{TCPConn: c, first: make([]byte, 1)}
	err := c.SetReadDeadline(time.Now().Add(helloTimeout))
	if err == nil {
		_, err = io.ReadFull(c, s.first)
	}
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if !hurry() || err != nil {
		_ = c.Close() // a probe, or the listener closed
		return
	}
	if s.first[0] == handshakeByte {
		t.hand(accepted{conn: tls.Server(s, t.cfg)})
		return
	}
	t.hand(accepted{conn: s})
}

func (t *tlsListener) hand(a accepted) {
	select {
	case t.ready <- a:
	case <-t.ctx.Done():
		if a.conn != nil {
			_ = a.conn.Close()
		}
	}
}

// spoken is a connection whose first byte was read already.
type spoken struct {
	*net.TCPConn
	first []byte
}

// Read gives the first byte, then reads on.
func (s *spoken) Read(p []byte) (int, error) {
	if len(s.first) == 0 || len(p) == 0 {
		return s.TCPConn.Read(p)
	}
	n := copy(p, s.first)
	s.first = s.first[n:]
	return n, nil
}
