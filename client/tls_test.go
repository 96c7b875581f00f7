package client_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// TestPlainFarm holds that the https address of an http farm is answered with the address to write.
func TestPlainFarm(t *testing.T) {
	t.Parallel()
	farm := httptest.NewServer(nil)
	t.Cleanup(farm.Close)
	cfg := client.Config{URL: strings.Replace(farm.URL, "http:", "https:", 1), KeyID: "id", Key: "key"}
	_, err := newClient(t, cfg).Login(t.Context())
	if !errors.Is(err, module.ErrInvalid) || !strings.Contains(err.Error(), "write its address as "+farm.URL) {
		t.Errorf("got %v", err)
	}
}
