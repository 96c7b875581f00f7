package api_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/modfarm/modfarm/farm/api/apitest"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// pingCounter passes connections on to a farm and counts the pings that clients send, and the connections.
type pingCounter struct {
	net.Listener
	pings, conns atomic.Int64
}

func countPings(t *testing.T, farm string) *pingCounter {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pingCounter{Listener: l}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.pass(t.Context(), in, farm) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return p
}

// pass ends with either side; a farm that does not answer shows as a client that cannot log in.
func (p *pingCounter) pass(ctx context.Context, in net.Conn, farm string) {
	defer in.Close()
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", farm)
	if err != nil {
		return
	}
	defer out.Close()
	p.conns.Add(1)
	go func() {
		_, _ = io.Copy(in, out)
		_ = in.Close()
	}()
	sent := io.TeeReader(in, out)
	if _, err := io.CopyN(io.Discard, sent, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	frames := http2.NewFramer(nil, sent)
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			return
		}
		if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
			p.pings.Add(1)
		}
	}
}

// TestKeepalive holds that a client which pings without an open stream, as stock clients do every 20 s
// (here 10, the least that grpc-go allows), is left in peace: a strict server cuts it at the third.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	proxy := countPings(t, f.Addr)
	conn, err := grpc.NewClient(proxy.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &foreign{t: t, addr: f.Addr, conn: conn}
	if err := c.login(f.KeyID, f.Key); err != nil {
		t.Fatal(err)
	}
	before := proxy.pings.Load() // grpc-go also pings to find out how fast a line is
	deadline := time.After(2 * time.Minute)
	for proxy.pings.Load() < before+4 {
		select {
		case <-deadline:
			t.Fatalf("%d pings in two minutes", proxy.pings.Load()-before)
		case <-time.After(100 * time.Millisecond):
		}
	}
	c.must(appService+"ListOrganizations", &appv1.ListOrganizationsRequest{}, &appv1.ListOrganizationsResponse{})
	if n, state := proxy.conns.Load(), conn.GetState(); n != 1 || state != connectivity.Ready {
		t.Errorf("%d connections, the last one %s", n, state)
	}
}

// TestManyPings holds that pings alone never end a connection, however often they come.
func TestManyPings(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(conn, bytes.NewBufferString(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	frames := http2.NewFramer(conn, conn)
	if err := frames.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for i := range byte(200) {
		if err := frames.WritePing(false, [8]byte{i}); err != nil {
			t.Fatal(err)
		}
		for answered := false; !answered; {
			frame, err := frames.ReadFrame()
			if err != nil {
				t.Fatalf("after %d pings: %v", i, err)
			}
			switch frame := frame.(type) {
			case *http2.GoAwayFrame:
				t.Fatalf("after %d pings: %s", i, frame)
			case *http2.PingFrame:
				answered = frame.IsAck() && frame.Data == [8]byte{i}
			}
		}
	}
}
