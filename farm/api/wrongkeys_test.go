package api_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm/api/apitest"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	"github.com/modfarm/modfarm/proto/gen/proto/rpc/v1/rpcv1connect"
)

// TestTenThousandWrongKeys: they are all refused, and whoever has a right key gets in meanwhile, from the same address.
func TestTenThousandWrongKeys(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 128, MaxConnsPerHost: 128}
	t.Cleanup(transport.CloseIdleConnections)
	auth := rpcv1connect.NewAuthServiceClient(&http.Client{Transport: transport}, f.URL)
	login := func(id, key string) error {
		_, err := auth.Authenticate(t.Context(), &rpcv1.AuthenticateRequest{
			Entity: id, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: key},
		})
		return err
	}
	right := rpcv1connect.NewAuthServiceClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, f.URL)
	logins := meanwhile(20*time.Millisecond, // a machine that logs in now and then
		tenThousand(func(i int) bool {
			id := f.KeyID // half with an id that exists
			if i%2 == 0 {
				id = uuid.NewString()
			}
			err := login(id, fmt.Sprintf("mfk_%d", i))
			if connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Errorf("wrong key %d: %v", i, err)
				return false
			}
			return true
		}),
		func(n int) {
			_, err := right.Authenticate(t.Context(), &rpcv1.AuthenticateRequest{
				Entity: f.KeyID, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: f.Key},
			})
			if err != nil {
				t.Fatalf("right key, login %d: %v", n, err)
			}
		})
	if logins < 2 {
		t.Errorf("only %d logins of the right key", logins)
	}
}

// tenThousand tries from 120 senders at once. One that is told to stop stops; the channel is closed when all have.
func tenThousand(try func(i int) (goOn bool)) (ended <-chan struct{}) {
	const tries = 10_000
	attempts := make(chan int, tries)
	for i := range tries {
		attempts <- i
	}
	close(attempts)
	var senders sync.WaitGroup
	for range 120 {
		senders.Go(func() {
			for i := range attempts {
				if !try(i) {
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { senders.Wait(); close(done) }()
	return done
}

// meanwhile does something every now and then until the channel is closed, and says how often.
func meanwhile(every time.Duration, ended <-chan struct{}, do func(n int)) (times int) {
	for {
		do(times)
		times++
		select {
		case <-ended:
			return times
		case <-time.After(every):
		}
	}
}
