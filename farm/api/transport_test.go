package api_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/farm/api/apitest"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// do makes a plain request by a client.
func do(t *testing.T, c *http.Client, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(t, c, req)
}

// clients speak one protocol each.
func clients() map[string]*http.Client {
	only := func(set func(*http.Protocols)) *http.Client {
		p := new(http.Protocols)
		set(p)
		return &http.Client{Transport: &http.Transport{Protocols: p}}
	}
	return map[string]*http.Client{
		"HTTP/1.1": only(func(p *http.Protocols) { p.SetHTTP1(true) }),
		"HTTP/2.0": only(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	}
}

// TestProtocols holds that JSON, gRPC-Web and the health check work by HTTP/1.1 and by HTTP/2 in the
// clear, on the port that gRPC uses.
func TestProtocols(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	login := `{"entity":"` + f.KeyID + `","credentials":{"type":"api-key","payload":"` + f.Key + `"}}`
	for proto, c := range clients() {
		t.Run(strings.ReplaceAll(proto, "/", " "), func(t *testing.T) {
			t.Parallel()
			defer c.CloseIdleConnections()
			res := do(t, c, http.MethodGet, f.URL+wire.PathHealth, "")
			if res.code != http.StatusOK || res.proto != proto || !strings.Contains(res.body, `"ok"`) {
				t.Errorf("health: %s %d %s", res.proto, res.code, res.body)
			}
			res = do(t, c, http.MethodPost, f.URL+"/proto.rpc.v1.AuthService/Authenticate", login, "Content-Type", "application/json")
			var auth struct{ AccessToken string }
			if err := json.Unmarshal([]byte(res.body), &auth); err != nil || auth.AccessToken == "" {
				t.Fatalf("login by JSON: %d %s", res.code, res.body)
			}
			bearer := "Bearer " + auth.AccessToken
			res = do(t, c, http.MethodPost, f.URL+appService+"ListOrganizations", "{}", "Content-Type", "application/json", "Authorization", bearer)
			if res.code != http.StatusOK || !strings.Contains(res.body, `"publicNamespace":"acme"`) {
				t.Errorf("organizations by JSON: %d %s", res.code, res.body)
			}
			res = do(t, c, http.MethodPost, f.URL+appService+"ListOrganizations", "\x00\x00\x00\x00\x00", "Content-Type", "application/grpc-web+proto", "Authorization", bearer)
			if res.code != http.StatusOK || !strings.Contains(res.body, "acme") || !strings.Contains(strings.ToLower(res.body), "grpc-status: 0") {
				t.Errorf("organizations by gRPC-Web: %d %q", res.code, res.body)
			}
			res = do(t, c, http.MethodPost, f.URL+appService+"GetModule", `{"moduleId":"nonsense"}`, "Content-Type", "application/json", "Authorization", bearer)
			if res.code != http.StatusBadRequest || !strings.Contains(res.body, "invalid_argument") || !strings.Contains(res.body, "module_id") {
				t.Errorf("wrong id by JSON: %d %s", res.code, res.body)
			}
		})
	}
}

// TestUnimplemented holds that methods of the contract that this farm does not have, and services it
// never heard of, are told apart from a broken farm.
func TestUnimplemented(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	for method, req := range map[string]proto.Message{
		"/proto.rpc.webrtc.v1.SignalingService/OptionalWebRTCConfig": &buildv1.LinkRepoRequest{},
		appService + "GetFragment":                                   &appv1.GetModuleRequest{},
		appService + "GetRobotPart":                                  &appv1.GetModuleRequest{},
		"/viam.app.v1.RobotService/Log":                              &appv1.GetModuleRequest{},
		"/grpc.reflection.v1.ServerReflection/None":                  &appv1.GetModuleRequest{},
	} {
		wantCode(t, c.call(method, req, &appv1.GetModuleResponse{}), codes.Unimplemented)
	}
	res := do(t, http.DefaultClient, http.MethodGet, f.URL+"/nothing/here", "")
	if res.code != http.StatusNotFound || !strings.Contains(res.body, `"code":"not_found"`) {
		t.Errorf("unknown path: %d %s", res.code, res.body)
	}
}

// TestBadLogins are the requests that no client of ours makes.
func TestBadLogins(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := dialForeign(t, f.Addr, nil)
	for name, creds := range map[string]*rpcv1.Credentials{
		"none":         nil,
		"unknown type": {Type: "external", Payload: f.Key},
	} {
		err := c.call("/proto.rpc.v1.AuthService/Authenticate", &rpcv1.AuthenticateRequest{Entity: f.KeyID, Credentials: creds}, &rpcv1.AuthenticateResponse{})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInternalErrorsStayInside closes the database under the farm: callers get a reference, the log
// gets the cause, once.
func TestInternalErrorsStayInside(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	f.CloseStore(t)
	err := c.call(appService+"ListModules", &appv1.ListModulesRequest{}, &appv1.ListModulesResponse{})
	wantCode(t, err, codes.Internal)
	text := status.Convert(err).Message()
	reference, _, found := strings.Cut(strings.TrimPrefix(text, "internal error "), ";")
	if !found || strings.Contains(text, "sql") || strings.Contains(text, "database") {
		t.Errorf("the caller is told %q", text)
	}
	if n := strings.Count(f.Log.String(), reference); n != 1 {
		t.Errorf("reference %q is %d times in the log:\n%s", reference, n, f.Log)
	}
	res := get(t, http.MethodGet, f.URL+"/api/v1/packages/acme/widget/1.0.0-any.tar.gz", f.KeyID, f.Key)
	if res.code != http.StatusInternalServerError || !strings.Contains(res.body, `"reference"`) || strings.Contains(res.body, "sql") {
		t.Errorf("download: %d %s", res.code, res.body)
	}
}

// fileSink is a ResponseWriter that can send files, as that of net/http, and notes whether it was given one.
type fileSink struct {
	*httptest.ResponseRecorder
	source io.Reader
}

// ReadFrom notes what it is given.
func (s *fileSink) ReadFrom(r io.Reader) (int64, error) {
	s.source = r
	return io.Copy(s.ResponseRecorder, r)
}

// TestDownloadsSendFiles holds that the kernel can send an archive: the connection itself is given the file.
func TestDownloadsSendFiles(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	file := bigArchive(t, 100_000)
	if _, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "linux/amd64"}, file); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "/api/v1/packages/acme/widget/1.0.0-linux-amd64.tar.gz", nil)
	req.Header.Set("Authorization", "Bearer "+c.token)
	sink := &fileSink{ResponseRecorder: httptest.NewRecorder()}
	f.Handler.ServeHTTP(sink, req)
	limited, ok := sink.source.(*io.LimitedReader)
	if !ok {
		t.Fatalf("the connection was given %T (status %d)", sink.source, sink.Code)
	}
	if _, ok := limited.R.(*os.File); !ok || sink.Body.Len() != len(file) {
		t.Errorf("the connection was given a %T, %d bytes of %d", limited.R, sink.Body.Len(), len(file))
	}
}

// TestDownloadAddresses holds that an address means one archive for ever.
func TestDownloadAddresses(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	c := loggedIn(t, f, f.KeyID, f.Key)
	widget(t, c, f)
	url, _, err := c.upload(&appv1.ModuleFileInfo{ModuleId: "acme:widget", Version: "1.0.0", Platform: "linux/amd64", PlatformTags: []string{"distro:debian"}}, bigArchive(t, 1000))
	if err != nil {
		t.Fatal(err)
	}
	base := f.URL + "/api/v1/packages/acme/widget/"
	for address, want := range map[string]int{
		url:                               http.StatusOK,
		base + "1.0.0-linux-amd64.tar.gz": http.StatusNotFound, // there are only tagged ones
		base + "latest.tar.gz":            http.StatusNotFound,
		base + "1.0.0.tar.gz":             http.StatusNotFound,
		base + "1.0.0-linux-amd64":        http.StatusNotFound,
		base + "%2e%2e%2fsecret.tar.gz":   http.StatusNotFound,
	} {
		if res := get(t, http.MethodGet, address, f.KeyID, f.Key); res.code != want {
			t.Errorf("%s: %d, want %d: %.100s", address, res.code, want, res.body)
		}
	}
	res := get(t, http.MethodGet, url, f.KeyID, f.Key, "If-None-Match", `"`+getPackage(t, c, "acme/widget", strings.TrimSuffix(url[strings.LastIndex(url, "/")+1:], ".tar.gz")).GetChecksum()+`"`)
	if res.code != http.StatusNotModified {
		t.Errorf("with the ETag known: %d", res.code)
	}
	hash, ok := strings.CutPrefix(res.header.Get("X-Goog-Hash"), "crc32c=")
	raw, err := base64.StdEncoding.DecodeString(hash)
	if !ok || err != nil || len(raw) != 4 || binary.BigEndian.Uint32(raw) == 0 {
		t.Errorf("hash header %q", hash)
	}
}
