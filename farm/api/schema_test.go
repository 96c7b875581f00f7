package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/proto/wire"
)

// The schema of meta.json is for everybody: editors have no key.
func TestManifestSchema(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+wire.PathSchema, nil)
	if err != nil {
		t.Fatal(err)
	}
	res := send(t, http.DefaultClient, req)
	if res.code != http.StatusOK || res.header.Get("Content-Type") != "application/schema+json" || !json.Valid([]byte(res.body)) {
		t.Errorf("%d %s", res.code, res.header)
	}
}
