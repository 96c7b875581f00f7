package docker_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard/guardtest"
)

// TestInterruptedStartLeavesNothing interrupts a worker between the moment in which the engine has made the container
// of its guard and the one in which the worker hears of it.
func TestInterruptedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	var opts docker.Options
	first, _ := newRunner(t, func(o *docker.Options) { opts = *o })
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	host, err := url.Parse(opts.Engine.DaemonHost())
	if err != nil || host.Scheme != "unix" {
		t.Skipf("the engine is at %s, and a socket is wanted", opts.Engine.DaemonHost())
	}
	ctx, interrupt := context.WithCancel(t.Context())
	var made bool
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", host.Path)
		}},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodPost && strings.HasSuffix(r.Request.URL.Query().Get("name"), "-guard") {
				made = r.StatusCode == http.StatusCreated
				interrupt()
			}
			return nil
		},
	})
	t.Cleanup(between.Close)
	opts.Engine, err = client.New(client.WithHost("tcp://" + between.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opts.Engine.Close() })
	opts.Guard = guardtest.Program(t)
	if _, err := docker.New(ctx, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("the interrupted start ends with %v", err)
	}
	if !made {
		t.Fatal("the engine made no guard")
	}
	eventually(t, "nothing of the worker is left", func() bool {
		list, err := engine(t).ContainerList(t.Context(), client.ContainerListOptions{
			All: true, Filters: make(client.Filters).Add("label", "dev.modfarm.worker="+opts.Name),
		})
		return err == nil && len(list.Items) == 0
	})
	if _, err := engine(t).NetworkInspect(t.Context(), "modfarm-"+opts.Name, client.NetworkInspectOptions{}); err == nil {
		t.Error("the network is left")
	}
}
