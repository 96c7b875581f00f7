package api

import (
	"bytes"
	"net/http"
	"time"

	"github.com/modfarm/modfarm/module"
)

// manifestSchema serves the JSON Schema of meta.json. Editors fetch it without a key, from any page.
func (s *server) manifestSchema(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "application/schema+json")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(module.ManifestSchema()))
	return nil
}
