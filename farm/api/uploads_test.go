package api_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	"github.com/modfarm/modfarm/proto/wire"
)

// uploader sends archives of the module acme:widget by plain HTTP.
type uploader struct {
	t          *testing.T
	farm       *apitest.Farm
	keyID, key string
}

func newUploader(t *testing.T) *uploader {
	t.Helper()
	f := apitest.Start(t)
	if _, err := f.Registry.CreateModule(t.Context(), f.Org.ID, "widget"); err != nil {
		t.Fatal(err)
	}
	return &uploader{t: t, farm: f, keyID: f.KeyID, key: f.Key}
}

// as is the same uploads with another key.
func (u *uploader) as(keyID, key string) *uploader {
	other := *u
	other.keyID, other.key = keyID, key
	return &other
}

// reply is what an HTTP request got.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

func (u *uploader) do(method, path string, body []byte, header ...string) (reply, string) {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, u.farm.URL+path, bytes.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header["key_id"], req.Header["key"] = []string{u.keyID}, []string{u.key}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Status, res.Header}, string(text)
}

// want makes a request and holds that its answer has a status and says some things.
func (u *uploader) want(status int, method, path string, body []byte, header []string, says ...string) reply {
	u.t.Helper()
	res, text := u.do(method, path, body, header...)
	if res.StatusCode != status {
		u.t.Errorf("%s %s: %s, want %d\n%s", method, path, res.Status, status, text)
	}
	for _, part := range says {
		if !strings.Contains(text, part) {
			u.t.Errorf("%s %s does not say %q:\n%s", method, path, part, text)
		}
	}
	return res
}

func (u *uploader) begin(version string, size int64, digest string) wire.Upload {
	u.t.Helper()
	what, err := json.Marshal(wire.NewUpload{ModuleID: "acme:widget", Version: version, Platform: "linux/amd64", Size: size, SHA256: digest})
	if err != nil {
		u.t.Fatal(err)
	}
	res, text := u.do(http.MethodPost, wire.PathUploads, what)
	var begun wire.Upload
	if err := json.Unmarshal([]byte(text), &begun); err != nil || res.StatusCode != http.StatusCreated {
		u.t.Fatalf("begin: %s %s", res.Status, text)
	}
	return begun
}

func (u *uploader) beginFile(version string, file []byte) wire.Upload {
	u.t.Helper()
	return u.begin(version, int64(len(file)), hexDigest(file))
}

func hexDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// nothing holds that neither an upload nor an object is left.
func (u *uploader) nothing(id string) {
	u.t.Helper()
	if id != "" {
		u.want(http.StatusNotFound, http.MethodHead, wire.UploadPath(id), nil, nil)
	}
	err := u.farm.Registry.Blobs.Keys(u.t.Context(), time.Now().Add(time.Hour), func(key string) error {
		return fmt.Errorf("%s is left", key)
	})
	if err != nil {
		u.t.Error(err)
	}
}

// An upload goes from its beginning to a version that can be downloaded, in pieces,
// and tells its end again to whom did not hear it.
func TestUploadByHTTP(t *testing.T) {
	t.Parallel()
	u := newUploader(t)
	file := bigArchive(t, 300_000)
	begun := u.beginFile("1.0.0", file)
	path := wire.UploadPath(begun.ID)
	u.want(http.StatusNoContent, http.MethodPut, path, file[:1000], nil)
	res := u.want(http.StatusNoContent, http.MethodHead, path, nil, nil)
	if res.Header.Get(wire.HeaderOffset) != "1000" || res.Header.Get(wire.HeaderLength) != strconv.Itoa(len(file)) {
		t.Errorf("headers %v", res.Header)
	}
	res = u.want(http.StatusConflict, http.MethodPatch, path, file[999:], []string{wire.HeaderOffset, "999"}, "goes on there, not at 999")
	if res.Header.Get(wire.HeaderOffset) != "1000" {
		t.Errorf("a conflict tells the offset %q", res.Header.Get(wire.HeaderOffset))
	}
	u.want(http.StatusUnprocessableEntity, http.MethodPatch, path, nil, []string{wire.HeaderOffset, "-1"}, "Upload-Offset")
	u.want(http.StatusConflict, http.MethodPost, wire.FinishPath(begun.ID), nil, nil, "send the rest")
	u.want(http.StatusNoContent, http.MethodPatch, path, file[1000:2000], []string{wire.HeaderOffset, "1000"})
	u.want(http.StatusNoContent, http.MethodPut, path, file[2000:], []string{"Content-Range", fmt.Sprintf("bytes 2000-%d/%d", len(file)-1, len(file))})
	for range 2 {
		u.want(http.StatusOK, http.MethodPost, wire.FinishPath(begun.ID), nil, nil, hexDigest(file), "1.0.0-linux-amd64.tar.gz")
	}
	u.want(http.StatusConflict, http.MethodPut, path, file, nil, "is finished")
	_, got := u.do(http.MethodGet, wire.DownloadPath("acme/widget", "1.0.0-linux-amd64"), nil)
	if got != string(file) {
		t.Errorf("downloaded %d bytes of %d", len(got), len(file))
	}
	// The number is taken: other bytes are refused when they are finished.
	other := bigArchive(t, 1000)
	begun = u.beginFile("1.0.0", other)
	u.want(http.StatusNoContent, http.MethodPut, wire.UploadPath(begun.ID), other, nil)
	u.want(http.StatusConflict, http.MethodPost, wire.FinishPath(begun.ID), nil, nil, "a version never changes")
}

// Nobody but the key's organization may touch an upload, nor tell that it exists.
func TestUploadsOfOthers(t *testing.T) {
	t.Parallel()
	u := newUploader(t)
	file := bigArchive(t, 1000)
	begun := u.beginFile("1.0.0", file)
	_, id, key := u.farm.AddOrg(t, "Umbrella", "umbrella", account.RoleOwner)
	reader, readerKey := u.farm.AddKey(t, u.farm.Org.ID, account.RoleReader)
	for name, tt := range map[string]struct {
		who    *uploader
		status int
	}{
		"another organization": {u.as(id, key), http.StatusNotFound},
		"a reader":             {u.as(reader, readerKey), http.StatusForbidden},
		"a wrong key":          {u.as(u.farm.KeyID, key), http.StatusUnauthorized},
	} {
		for method, path := range map[string]string{
			http.MethodHead: wire.UploadPath(begun.ID), http.MethodPut: wire.UploadPath(begun.ID),
			http.MethodDelete: wire.UploadPath(begun.ID), http.MethodPost: wire.FinishPath(begun.ID),
		} {
			if res, text := tt.who.do(method, path, nil); res.StatusCode != tt.status {
				t.Errorf("%s, %s: %s, want %d\n%s", name, method, res.Status, tt.status, text)
			}
		}
	}
	u.want(http.StatusNoContent, http.MethodDelete, wire.UploadPath(begun.ID), nil, nil)
	u.nothing(begun.ID)
}

func TestBadUploads(t *testing.T) {
	t.Parallel()
	u := newUploader(t)
	u.farm.Registry.Limits = archive.Limits{Compressed: 1_000_000, Decompressed: 20_000_000_000}
	file := bigArchive(t, 200_000)
	post := func(n wire.NewUpload, says ...string) {
		t.Helper()
		what, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		u.want(http.StatusUnprocessableEntity, http.MethodPost, wire.PathUploads, what, nil, says...)
	}
	good := wire.NewUpload{ModuleID: "acme:widget", Version: "1.0.0", Platform: "linux/amd64", Size: 1000, SHA256: hexDigest(file)}
	for _, tt := range []struct {
		change func(*wire.NewUpload)
		says   string
	}{
		{func(n *wire.NewUpload) { n.Size = 0 }, "size"},
		{func(n *wire.NewUpload) { n.SHA256 = "abc" }, "sha256"},
		{func(n *wire.NewUpload) { n.Size = 1_500_000 }, "has 1.5 MB, the limit is 1 MB"},
		{func(n *wire.NewUpload) { n.Version = "one" }, "version"},
		{func(n *wire.NewUpload) { n.Platform = "linux/risc" }, "platform"},
	} {
		n := good
		tt.change(&n)
		post(n, tt.says)
	}
	u.want(http.StatusUnprocessableEntity, http.MethodPost, wire.PathUploads, []byte("{"), nil, "JSON")
	u.nothing("")

	refused := func(version string, file []byte, digest string, says ...string) {
		t.Helper()
		begun := u.begin(version, int64(len(file)), digest)
		res, text := u.do(http.MethodPut, wire.UploadPath(begun.ID), file)
		if res.StatusCode == http.StatusNoContent { // what is wrong may show before the end, or at it
			res, text = u.do(http.MethodPost, wire.FinishPath(begun.ID), nil)
		}
		for _, part := range says {
			if res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, part) {
				t.Errorf("%s %q does not say %q", res.Status, text, part)
			}
		}
		u.nothing(begun.ID)
	}
	refused("1.0.1", file, hexDigest([]byte("others")), "sha256", hexDigest(file))
	refused("1.0.2", sparse(t), hexDigest(sparse(t)), "has 26", "the limit")
	u.farm.Registry.Limits.Decompressed = 10_000_000
	refused("1.0.3", bomb(t), hexDigest(bomb(t)), "brings the files to 50 MB, the limit is 10 MB")
	half := file[:len(file)/2]
	refused("1.0.4", half, hexDigest(half), "ends too early")

	begun := u.begin("1.0.5", 1000, hexDigest(file))
	u.want(http.StatusUnprocessableEntity, http.MethodPut, wire.UploadPath(begun.ID), file, nil, "more bytes came than the 1000")
	u.nothing(begun.ID)
}

// TestLyingContentLength holds that a body which ends before its announced length is
// a line that broke: what came stays, and nothing is taken for an archive.
func TestLyingContentLength(t *testing.T) {
	t.Parallel()
	u := newUploader(t)
	file := bigArchive(t, 100_000)
	begun := u.beginFile("1.0.0", file)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.farm.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: farm\r\nkey_id: %s\r\nkey: %s\r\nContent-Length: %d\r\n\r\n%s",
		wire.UploadPath(begun.ID), u.keyID, u.key, len(file), file[:40_000])
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s, want 503", res.Status)
	}
	if res := u.want(http.StatusNoContent, http.MethodHead, wire.UploadPath(begun.ID), nil, nil); res.Header.Get(wire.HeaderOffset) != "40000" {
		t.Errorf("goes on at %q, want 40000", res.Header.Get(wire.HeaderOffset))
	}
	id := module.ID{Namespace: "acme", Name: "widget"}
	if m, err := u.farm.Registry.Module(t.Context(), viewerOf(u), id); err != nil {
		t.Error(err)
	} else if versions, err := u.farm.Registry.Store.Releases(t.Context(), m.Key, module.Version{}); err != nil || len(versions) != 0 {
		t.Errorf("published %v, %v", versions, err)
	}
}

// sparse is an archive of some hundred bytes with a file of 26 GB.
func sparse(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hole"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "hole"), 26_000_000_000); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "tar", "--sparse", "--mtime=@0", "--owner=0", "--group=0", "-C", dir, "-cf", "-", "hole").Output()
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(out); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes()
}

// bomb is an archive of some kilobytes that unpacks to 50 MB of zeros.
func bomb(t *testing.T) []byte {
	t.Helper()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: 50_000_000, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(make([]byte, 50_000_000))
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes()
}
