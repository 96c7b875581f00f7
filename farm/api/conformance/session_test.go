package conformance_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/farm/api/apitest"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
)

// session is one process of a stock client: two bare connections, then one gRPC connection on which it logs
// in before its first call. It notes every call that it makes.
type session struct {
	t          *testing.T
	farm       *apitest.Farm
	conn       *grpc.ClientConn
	keyID, key string
	token      string
	calls      []string
}

func newSession(t *testing.T, f *apitest.Farm) *session {
	t.Helper()
	for range 2 {
		probe, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := probe.Close(); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := grpc.NewClient(f.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<25)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nothing of it is left to be told
	return &session{t: t, farm: f, conn: conn, keyID: f.KeyID, key: f.Key}
}

// path says where a method is.
func path(method string) string {
	for service, methods := range map[string]string{
		"/proto.rpc.v1.AuthService/":            " Authenticate ",
		"/viam.app.packages.v1.PackageService/": " GetPackage CreatePackage ",
		"/viam.app.build.v1.BuildService/":      " StartBuild StartSourceUploadBuild StartPackageBuild ListJobs GetLogs LinkRepo ",
	} {
		if strings.Contains(methods, " "+method+" ") {
			return service + method
		}
	}
	return "/viam.app.v1.AppService/" + method
}

// try makes a unary call.
func (s *session) try(method string, req, res proto.Message) error {
	s.t.Helper()
	if s.token == "" && method != "Authenticate" {
		s.login()
	}
	s.calls = append(s.calls, method)
	return s.conn.Invoke(s.context(), path(method), req, res)
}

// call makes a unary call that has to succeed.
func (s *session) call(method string, req, res proto.Message) {
	s.t.Helper()
	if err := s.try(method, req, res); err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
}

// login is what precedes the first call of a process.
func (s *session) login() {
	s.t.Helper()
	if err := s.authenticate(); err != nil {
		s.t.Fatalf("Authenticate: %v", err)
	}
}

func (s *session) authenticate() error {
	var res rpcv1.AuthenticateResponse
	s.token = ""
	err := s.try("Authenticate", &rpcv1.AuthenticateRequest{
		Entity: s.keyID, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: s.key},
	}, &res)
	s.token = res.GetAccessToken()
	if err == nil && s.token == "" {
		s.t.Error("the token is empty: clients would log in before each call")
	}
	return err
}

func (s *session) context() context.Context {
	if s.token == "" {
		return s.t.Context()
	}
	return metadata.AppendToOutgoingContext(s.t.Context(), "authorization", "Bearer "+s.token)
}

// send streams messages and reads the answer.
func (s *session) send(method string, res proto.Message, messages ...proto.Message) error {
	s.t.Helper()
	if s.token == "" {
		s.login()
	}
	s.calls = append(s.calls, method)
	stream, err := s.conn.NewStream(s.context(), &grpc.StreamDesc{ClientStreams: true}, path(method))
	if err != nil {
		return err
	}
	for _, msg := range messages {
		if err := stream.SendMsg(msg); errors.Is(err, io.EOF) {
			break // the answer is there
		} else if err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(res)
}

// receive makes a call that is answered by a stream; next returns a message to read into.
func (s *session) receive(method string, req proto.Message, next func() proto.Message) {
	s.t.Helper()
	if s.token == "" {
		s.login()
	}
	s.calls = append(s.calls, method)
	stream, err := s.conn.NewStream(s.context(), &grpc.StreamDesc{ServerStreams: true}, path(method))
	if err == nil {
		err = stream.SendMsg(req)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	for err == nil {
		err = stream.RecvMsg(next())
	}
	if !errors.Is(err, io.EOF) {
		s.t.Fatalf("%s: %v", method, err)
	}
}

// answer is what came back of a plain request.
type answer struct {
	code   int
	header http.Header
	length int64
}

// http makes a plain request with the headers of a client that logged in with a key.
func (s *session) http(method, url, key string, header ...string) (answer, []byte) {
	s.t.Helper()
	s.calls = append(s.calls, method)
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header["key_id"], req.Header["key"] = []string{s.keyID}, []string{key} // as they are, not in canonical case
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, res.ContentLength}, body
}

// head checks everything that a machine looks at before it downloads.
func (s *session) head(url string, file []byte) {
	s.t.Helper()
	res, _ := s.http(http.MethodHead, url, s.key)
	crc := binary.BigEndian.AppendUint32(nil, crc32.Checksum(file, crc32.MakeTable(crc32.Castagnoli)))
	if res.code != http.StatusOK || res.length != int64(len(file)) {
		s.t.Errorf("HEAD: %d, %d bytes of %d", res.code, res.length, len(file))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/x-gzip", "Accept-Ranges": "bytes",
		"X-Goog-Hash": "crc32c=" + base64.StdEncoding.EncodeToString(crc),
	} {
		if got := res.header.Values(name); len(got) != 1 || got[0] != want {
			s.t.Errorf("HEAD: %s is %q, want %q", name, got, want)
		}
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v, want code %s", err, want)
	}
}
