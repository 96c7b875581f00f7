package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/proto/wire"
)

func viewerOf(u *uploader) registry.Viewer { return registry.ForOrg(u.farm.Org.ID) }

// kernel is a response writer that can send files without copying them, as that of a
// connection can.
type kernel struct {
	*httptest.ResponseRecorder
	file *os.File
}

// ReadFrom remembers what it was handed.
func (k *kernel) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		k.file, _ = limited.R.(*os.File)
	}
	return io.Copy(k.ResponseRecorder, r)
}

// TestDownloadsAreSentByTheKernel holds that nothing between a connection and a file
// hides one from the other: then, and only then, Go sends it by sendfile.
func TestDownloadsAreSentByTheKernel(t *testing.T) {
	t.Parallel()
	u := newUploader(t)
	file := bigArchive(t, 10_000)
	begun := u.beginFile("1.0.0", file)
	u.want(http.StatusNoContent, http.MethodPut, wire.UploadPath(begun.ID), file, nil)
	u.want(http.StatusOK, http.MethodPost, wire.FinishPath(begun.ID), nil, nil)
	for _, want := range []struct{ byteRange, body string }{{"", string(file)}, {"bytes=100-", string(file[100:])}} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, wire.DownloadPath("acme/widget", "1.0.0-linux-amd64"), nil)
		req.Header.Set(wire.HeaderKeyID, u.keyID)
		req.Header.Set(wire.HeaderKey, u.key)
		if want.byteRange != "" {
			req.Header.Set("Range", want.byteRange)
		}
		w := &kernel{ResponseRecorder: httptest.NewRecorder()}
		u.farm.Handler.ServeHTTP(w, req)
		if w.file == nil {
			t.Errorf("range %q: the connection was not handed the file", want.byteRange)
		}
		if w.Body.String() != want.body {
			t.Errorf("range %q: %d bytes, want %d", want.byteRange, w.Body.Len(), len(want.body))
		}
	}
}
