package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/farm/api/apitest"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	buildv1 "github.com/modfarm/modfarm/proto/gen/viam/app/build/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// foreign behaves like a stock client: grpc-go with its keepalive, bare connections before the first
// call, one login for a process, the token on every later call.
type foreign struct {
	t     *testing.T
	addr  string
	conn  *grpc.ClientConn
	token string
}

func dialForeign(t *testing.T, addr string, creds credentials.TransportCredentials) *foreign {
	t.Helper()
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	for range 2 {
		probe, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = probe.Close()
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<25)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &foreign{t: t, addr: addr, conn: conn}
}

// loggedIn is a client with a token.
func loggedIn(t *testing.T, f *apitest.Farm, keyID, key string) *foreign {
	t.Helper()
	c := dialForeign(t, f.Addr, nil)
	if err := c.login(keyID, key); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *foreign) login(keyID, key string) error {
	var res rpcv1.AuthenticateResponse
	err := c.call("/proto.rpc.v1.AuthService/Authenticate", &rpcv1.AuthenticateRequest{
		Entity: keyID, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: key},
	}, &res)
	c.token = res.GetAccessToken()
	return err
}

func (c *foreign) context() context.Context {
	if c.token == "" {
		return c.t.Context()
	}
	return metadata.AppendToOutgoingContext(c.t.Context(), "authorization", "Bearer "+c.token)
}

func (c *foreign) call(method string, req, res proto.Message) error {
	return c.conn.Invoke(c.context(), method, req, res)
}

// must calls and fails the test on an error.
func (c *foreign) must(method string, req, res proto.Message) {
	c.t.Helper()
	if err := c.call(method, req, res); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

// upload sends an archive in chunks of 32 KiB and returns how many were sent until the server spoke.
func (c *foreign) upload(info *appv1.ModuleFileInfo, file []byte) (url string, sent int, err error) {
	c.t.Helper()
	stream, err := c.conn.NewStream(c.context(), &grpc.StreamDesc{ClientStreams: true}, "/viam.app.v1.AppService/UploadModuleFile")
	if err != nil {
		return "", 0, err
	}
	err = stream.SendMsg(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{ModuleFileInfo: info}})
	for err == nil && len(file) > 0 {
		n := min(len(file), 32<<10)
		err = stream.SendMsg(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_File{File: file[:n]}})
		file, sent = file[n:], sent+1
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", sent, err
	}
	if err := stream.CloseSend(); err != nil {
		return "", sent, err
	}
	var res appv1.UploadModuleFileResponse
	err = stream.RecvMsg(&res)
	return res.GetUrl(), sent, err
}

// logs is what GetLogs sends, message by message.
func (c *foreign) logs(buildID, platform string) ([]*buildv1.GetLogsResponse, error) {
	stream, err := c.conn.NewStream(c.context(), &grpc.StreamDesc{ServerStreams: true}, "/viam.app.build.v1.BuildService/GetLogs")
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&buildv1.GetLogsRequest{BuildId: buildID, Platform: platform}); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var all []*buildv1.GetLogsResponse
	for {
		msg := &buildv1.GetLogsResponse{}
		err := stream.RecvMsg(msg)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, msg)
	}
}

// get makes a plain request with the headers of a stock machine.
func get(t *testing.T, method, url, keyID, key string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["key_id"], req.Header["key"] = []string{keyID}, []string{key} // as they are, not in canonical case
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(t, http.DefaultClient, req)
}

// answer is what came back of a plain request.
type answer struct {
	code   int
	proto  string
	header http.Header
	body   string
}

func send(t *testing.T, c *http.Client, req *http.Request) answer {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{code: res.StatusCode, proto: res.Proto, header: res.Header, body: string(body)}
}

// wantCode fails the test when err has another code.
func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v, want code %s", err, want)
	}
}
