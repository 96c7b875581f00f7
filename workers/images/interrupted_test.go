package images_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers/images"
)

// TestInterruptedMakingLeavesNothing interrupts the making of an image between the moment in which the engine has made
// the container for it and the one in which this program hears of it.
func TestInterruptedMakingLeavesNothing(t *testing.T) {
	t.Parallel()
	direct := maker(t)
	host, err := url.Parse(direct.Docker.DaemonHost())
	if err != nil || host.Scheme != "unix" {
		t.Skipf("the engine is at %s, and a socket is wanted", direct.Docker.DaemonHost())
	}
	base := strings.ToLower("modfarm-test/" + rand.Text() + ":interrupted")
	importEmpty(t, direct.Docker, base)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var made bool
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", host.Path)
		}},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodPost && strings.HasSuffix(r.Request.URL.Path, "/containers/create") {
				made = r.StatusCode == http.StatusCreated
				interrupt()
			}
			return nil
		},
	})
	t.Cleanup(between.Close)
	engine, err := client.New(client.WithHost("tcp://" + between.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	m := &images.Maker{Docker: engine, CacheDir: t.TempDir()}
	if err := images.StartContainer(ctx, m, base, tiny(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("the interrupted making ends with %v", err)
	}
	if !made {
		t.Fatal("the engine made no container")
	}
	left := func() []string {
		list, err := direct.Docker.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("ancestor", base)})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, c := range list.Items {
			ids = append(ids, c.ID)
		}
		return ids
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(time.Minute); len(left()) > 0; <-again.C {
		if time.Now().After(deadline) {
			t.Fatalf("containers are left: %v", left())
		}
	}
}

// importEmpty gives the engine an image with nothing in it, until the test ends.
func importEmpty(t *testing.T, docker *client.Client, ref string) {
	t.Helper()
	var empty bytes.Buffer
	if err := tar.NewWriter(&empty).Close(); err != nil {
		t.Fatal(err)
	}
	res, err := docker.ImageImport(t.Context(), client.ImageImportSource{Source: &empty, SourceName: "-"}, ref, client.ImageImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	if _, err := io.Copy(io.Discard, res); err != nil {
		t.Fatal(err)
	}
	forget(t, &images.Maker{Docker: docker}, ref)
}
