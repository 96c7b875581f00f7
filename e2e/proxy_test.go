package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// silence is how long the build says nothing: longer than the timeouts that the
// test gives nginx where packaging/nginx/modfarm.conf does not.
const silence = "6"

// proxiedBuild leaves an archive that is larger than what nginx lets through by
// default, and much larger than its buffers.
const proxiedBuild = `#!/bin/bash
set -eu
sleep ` + silence + `
mkdir dist
head -c 24000000 /dev/urandom > dist/data
printf '#!/bin/sh\necho hello\n' > dist/main
chmod 755 dist/main
echo the last line
`

// TestFarmBehindNginx runs a farm, a worker, a stock client and a machine with
// nginx in between, set up as packaging/nginx/modfarm.conf says.
func TestFarmBehindNginx(t *testing.T) {
	p := openProxy(t)
	worker := p.startWorker(t)
	id := p.submit(t)

	// Its log is followed while nothing is said, to the end.
	ctx, cancel := context.WithTimeout(t.Context(), kindTime)
	defer cancel()
	build, err := p.client.Build(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	err = p.client.FollowLog(ctx, build.Jobs[0].ID, 0, func(chunk client.LogChunk) error {
		_, err := log.Write(chunk.Data)
		return err
	})
	if err != nil || !strings.Contains(log.String(), "the last line") {
		t.Errorf("following the log: %v; it ends:\n%s", err, end(log.String()))
	}
	if build, err = p.client.Build(ctx, id); err != nil {
		t.Fatal(err)
	}
	if build.Jobs[0].State != client.JobPublished || build.Jobs[0].Attempt != 1 {
		t.Fatalf("the build is %s after %d attempts: %s; the worker said:\n%s\nnginx said:\n%s", build.Jobs[0].State,
			build.Jobs[0].Attempt, build.Jobs[0].Reason, worker.said(), p.errors(t))
	}
	worker.stop(t)

	pkg, err := p.client.Package(ctx, build.Module, build.Version, build.Jobs[0].Platform)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(pkg.URL, p.url+"/") {
		t.Errorf("the archive's address is %s, not one of %s", pkg.URL, p.url)
	}
	var archive bytes.Buffer
	if err := p.client.Download(ctx, &archive, pkg, nil); err != nil { // it compares the digest
		t.Fatal(err)
	}
	t.Run("machine", func(t *testing.T) { p.downloadAsMachine(t, pkg.URL, archive.Bytes()) })
	t.Run("stock client", func(t *testing.T) { p.uploadAsStock(t, build.Module, archive.Bytes()) })
	if text := p.errors(t); text != "" {
		t.Errorf("nginx complains:\n%s", text)
	}
}

// startWorker starts a worker that knows the farm by the proxy only.
func (p *proxied) startWorker(t *testing.T) *process {
	t.Helper()
	work := filepath.Join(t.TempDir(), "work")
	name := "behind-nginx-" + strings.ToLower(filepath.Base(p.dir))
	w := &process{work: work, cmd: command(p.modfarm, "worker", "--farm", p.url, "--name", name, "--slots", "1",
		"--work", work, "--token-file", filepath.Join(p.farm.Dir(), "worker.token"))}
	w.cmd.Env = append(os.Environ(), "MODFARM_REDIS="+p.redis, "SSL_CERT_FILE="+p.certificate)
	w.begin(t).awaitReady(t)
	return w
}

// submit starts a build of a repository with proxiedBuild.
func (p *proxied) submit(t *testing.T) string {
	t.Helper()
	return submitTo(t, p.client, "1.0.0", map[string]string{"meta.json": manifest(t, "./build.sh"), "build.sh": proxiedBuild})
}

// downloadAsMachine gets the archive as machines do: with the key in two headers,
// by either HTTP version, whole and in part.
func (p *proxied) downloadAsMachine(t *testing.T, url string, want []byte) {
	t.Helper()
	id, key := p.farm.Key()
	for _, version := range []int{1, 2} {
		for _, part := range []string{"", "bytes=1000-1999"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header["key_id"], req.Header["key"] = []string{id}, []string{key}
			status, body := http.StatusOK, want
			if part != "" {
				req.Header.Set("Range", part)
				status, body = http.StatusPartialContent, want[1000:2000]
			}
			resp, err := p.http(version).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || resp.Body.Close() != nil || resp.StatusCode != status || resp.ProtoMajor != version || !bytes.Equal(got, body) {
				t.Errorf("HTTP/%d %s: %s over %s, %d bytes (%v)", version, part, resp.Status, resp.Proto, len(got), err)
			}
		}
	}
}

// uploadAsStock uploads the archive as another version by gRPC, in a stream of
// small messages, and has a call refused.
func (p *proxied) uploadAsStock(t *testing.T, id module.ID, archive []byte) {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(p.url, "https://"), grpc.WithTransportCredentials(credentials.NewTLS(p.tls(2))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	keyID, key := p.farm.Key()
	var login rpcv1.AuthenticateResponse
	err = conn.Invoke(ctx, "/proto.rpc.v1.AuthService/Authenticate", &rpcv1.AuthenticateRequest{
		Entity: keyID, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: key},
	}, &login)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Invoke(ctx, "/viam.app.v1.AppService/GetModule", &appv1.GetModuleRequest{ModuleId: id.String()}, &appv1.GetModuleResponse{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call without a token: %v, want Unauthenticated", err)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+login.GetAccessToken())
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/viam.app.v1.AppService/UploadModuleFile")
	if err != nil {
		t.Fatal(err)
	}
	messages := []*appv1.UploadModuleFileRequest{{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{
		ModuleFileInfo: &appv1.ModuleFileInfo{ModuleId: id.String(), Version: "2.0.0", Platform: module.HostPlatform().String()},
	}}}
	for rest := archive; len(rest) > 0; rest = rest[min(len(rest), 32<<10):] {
		messages = append(messages, &appv1.UploadModuleFileRequest{
			ModuleFile: &appv1.UploadModuleFileRequest_File{File: rest[:min(len(rest), 32<<10)]},
		})
	}
	for _, m := range messages {
		if err := stream.SendMsg(m); err != nil {
			break // RecvMsg says why
		}
	}
	var done appv1.UploadModuleFileResponse
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if err := stream.RecvMsg(&done); err != nil || !strings.HasPrefix(done.GetUrl(), p.url) {
		t.Errorf("upload: %v, address %q", err, done.GetUrl())
	}
}

// tls trusts the proxy's certificate and speaks one HTTP version.
func (p *proxied) tls(version int) *tls.Config {
	protocol := map[int]string{1: "http/1.1", 2: "h2"}[version]
	return &tls.Config{RootCAs: p.roots, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12}
}

// http is a client of one HTTP version.
func (p *proxied) http(version int) *http.Client {
	only := new(http.Protocols)
	only.SetHTTP1(version == 1)
	only.SetHTTP2(version == 2)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: p.tls(version), Protocols: only}}
}

// openProxy starts a farm and nginx before it.
func openProxy(t *testing.T) *proxied {
	t.Helper()
	root := checkout(t)
	p := &proxied{dir: t.TempDir()}
	var err error
	if p.modfarm, err = road.PrepareFarm(t.Context(), root, &lines{t: t}, []module.Platform{module.HostPlatform()}); err != nil {
		t.Fatal(err)
	}
	p.startNginx(t, root)
	return p
}
