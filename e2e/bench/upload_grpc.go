package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/module"
	rpcv1 "github.com/modfarm/modfarm/proto/gen/proto/rpc/v1"
	"github.com/modfarm/modfarm/proto/gen/proto/rpc/v1/rpcv1connect"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
)

// uploadGRPC is how fast a farm takes a 1 GiB archive from a stock client, as a
// part of how fast a handler of the same RPC library does that only hashes and
// writes, in a process of its own.
type uploadGRPC struct{}

// Name implements measure.
func (uploadGRPC) Name() string { return "upload-grpc" }

// Run implements measure.
func (uploadGRPC) Run(ctx context.Context, l *lab) (result, error) {
	s, err := l.uploading(ctx)
	if err != nil {
		return result{}, err
	}
	bare, err := startBare(ctx, l.dir)
	if err != nil {
		return result{}, err
	}
	defer bare.stop()
	var plain, ours []time.Duration
	for range l.rounds {
		p, err := sendStream(ctx, bare.url, "", s.noise.name, &appv1.ModuleFileInfo{})
		if err != nil {
			return result{}, fmt.Errorf("the bare handler: %w", err)
		}
		id, version, err := s.farm.module(ctx, "uploaded")
		if err != nil {
			return result{}, err
		}
		u, err := sendStream(ctx, s.farm.URL(), s.token, s.noise.name, &appv1.ModuleFileInfo{
			ModuleId: id.String(), Version: version.String(), Platform: module.HostPlatform().String(),
		})
		if err != nil {
			return result{}, err
		}
		l.say("gRPC upload: bare handler %.2f s, the farm %.2f s", p.Seconds(), u.Seconds())
		plain, ours = append(plain, p), append(ours, u)
	}
	return result{
		value: paired(plain, ours, over), bound: 0.8, atLeast: true, unit: ratios(),
		samples: map[string][]float64{"bare handler": seconds(plain), "upload": seconds(ours)},
	}, nil
}

// h2c is a client of HTTP/2 in the clear, as gRPC's are.
func h2c() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

// token logs in with the farm's first key.
func (f *farm) token(ctx context.Context) (string, error) {
	id, key := f.Key()
	res, err := rpcv1connect.NewAuthServiceClient(h2c(), f.URL(), connect.WithGRPC()).Authenticate(ctx, &rpcv1.AuthenticateRequest{
		Entity: id, Credentials: &rpcv1.Credentials{Type: "api-key", Payload: key},
	})
	return res.GetAccessToken(), err
}

// sendStream uploads as stock clients do: in chunks of 32 KiB.
func sendStream(ctx context.Context, url, token, name string, info *appv1.ModuleFileInfo) (time.Duration, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	began := time.Now()
	ctx, call := connect.NewClientContext(ctx)
	if token != "" {
		call.RequestHeader().Set("Authorization", "Bearer "+token)
	}
	stream, err := appv1connect.NewAppServiceClient(h2c(), url, connect.WithGRPC()).UploadModuleFile(ctx)
	if err != nil {
		return 0, err
	}
	err = stream.Send(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_ModuleFileInfo{ModuleFileInfo: info}})
	chunk := make([]byte, 32<<10)
	for err == nil {
		var n int
		if n, err = file.Read(chunk); n > 0 {
			err = errors.Join(err, stream.Send(&appv1.UploadModuleFileRequest{ModuleFile: &appv1.UploadModuleFileRequest_File{File: chunk[:n]}}))
		}
	}
	_, rerr := stream.CloseAndReceive()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return time.Since(began), errors.Join(rerr, err)
}

// bareEnv makes this program the bare handler, which writes into the folder it names.
const bareEnv = "MODFARM_BENCH_BARE"

// bare is a process with nothing but the handler.
type bare struct {
	cmd *exec.Cmd
	url string
}

func startBare(ctx context.Context, dir string) (*bare, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), bareEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the bare handler did not start: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	return &bare{cmd: cmd, url: strings.TrimSpace(string(line[:n]))}, nil
}

func (b *bare) stop() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait() // it was killed
}

// serveBare is the process.
func serveBare(ctx context.Context, dir string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "http://"+l.Addr().String())
	mux := http.NewServeMux()
	mux.Handle(appv1connect.NewAppServiceHandler(bareHandler{dir: dir}))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols, ReadHeaderTimeout: time.Minute}
	return server.Serve(l)
}

type bareHandler struct {
	appv1connect.UnimplementedAppServiceHandler
	dir string
}

// UploadModuleFile hashes and writes.
func (h bareHandler) UploadModuleFile(_ context.Context, stream *connect.ClientStream[appv1.UploadModuleFileRequest]) (*appv1.UploadModuleFileResponse, error) {
	name := filepath.Join(h.dir, "bare")
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer os.Remove(name)
	defer file.Close()
	sha, crc := sha256.New(), crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for stream.Receive() {
		chunk := stream.Msg().GetFile()
		sha.Write(chunk)
		crc.Write(chunk)
		if _, err := file.Write(chunk); err != nil {
			return nil, err
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	return &appv1.UploadModuleFileResponse{Url: fmt.Sprintf("%x %x", sha.Sum(nil), crc.Sum(nil))}, file.Sync()
}
