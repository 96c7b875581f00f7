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
	const wrong = 10_000
	attempts := make(chan int, wrong)
	for i := range wrong {
		attempts <- i
	}
	close(attempts)
	var senders sync.WaitGroup
	for range 120 {
		senders.Go(func() {
			for i := range attempts {
				id := f.KeyID // half with an id that exists
				if i%2 == 0 {
					id = uuid.NewString()
				}
				if err := login(id, fmt.Sprintf("mfk_%d", i)); connect.CodeOf(err) != connect.CodeUnauthenticated {
					t.Errorf("wrong key %d: %v", i, err)
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { senders.Wait(); close(ended) }()
	right := rpcv1connect.NewAuthServiceClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, f.URL)
	logins := 0
	for running := true; running; logins++ {
		_, err := right.Authenticate(t.Context(), &rpcv1.AuthenticateRequest{
			Entity: f.KeyID, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: f.Key},
		})
		if err != nil {
			t.Fatalf("right key, login %d: %v", logins, err)
		}
		select {
		case <-ended:
			running = false
		case <-time.After(20 * time.Millisecond): // a machine that logs in now and then
		}
	}
	if logins < 2 {
		t.Errorf("only %d logins of the right key", logins)
	}
}
