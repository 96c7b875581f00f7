package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/modfarm/modfarm/farm/api"
	"github.com/modfarm/modfarm/farm/api/apitest"
	modfarmv1 "github.com/modfarm/modfarm/proto/gen/modfarm/v1"
	"github.com/modfarm/modfarm/proto/wire"
)

// TestStoppingFarm holds that streams which end because the farm stops tell their callers to try
// again, and that the stop itself is no internal error.
func TestStoppingFarm(t *testing.T) {
	t.Parallel()
	f, c, worker := buildFarm(t)
	if _, err := start(c, "0.1.0", "linux/amd64"); err != nil {
		t.Fatal(err)
	}
	job := claim(t, worker).Job.ID

	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(f.Handler, nil)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	follower := dialForeign(t, l.Addr().String(), nil)
	follower.token = c.token
	stream, err := follower.conn.NewStream(follower.context(), &grpc.StreamDesc{ServerStreams: true}, "/modfarm.v1.FarmService/FollowLog")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(&modfarmv1.FollowLogRequest{JobId: job}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&modfarmv1.FollowLogResponse{}); err != nil { // the first sign of life
		t.Fatal(err)
	}
	stop()
	for err == nil {
		err = stream.RecvMsg(&modfarmv1.FollowLogResponse{})
	}
	wantCode(t, err, codes.Unavailable)
	if log := f.Log.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("errors were logged:\n%s", log)
	}
}

// TestArchiveBreaksOff holds that half an archive is not taken for a refused one.
func TestArchiveBreaksOff(t *testing.T) {
	t.Parallel()
	f, c, worker := buildFarm(t)
	if _, err := start(c, "0.1.0", "linux/amd64"); err != nil {
		t.Fatal(err)
	}
	a := claim(t, worker)
	file := bigArchive(t, 100_000)
	job, err := json.Marshal(wire.NewUpload{
		JobID: a.Job.ID, Strategy: string(a.Strategies[0]), Size: int64(len(file)), SHA256: strings.Repeat("0", 64),
	})
	if err != nil {
		t.Fatal(err)
	}
	var begun wire.Upload
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+wire.PathUploads, bytes.NewReader(job))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apitest.WorkerToken)
	req.Header.Set(wire.HeaderLease, a.Lease.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.NewDecoder(res.Body).Decode(&begun), res.Body.Close()); err != nil || begun.ID == "" {
		t.Fatalf("begun %+v, %v", begun, err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	head := strings.Join([]string{
		"PUT " + wire.UploadPath(begun.ID) + " HTTP/1.1", "Host: " + f.Addr, "Authorization: Bearer " + apitest.WorkerToken,
		wire.HeaderLease + ": " + a.Lease.Token, "Content-Length: " + strconv.Itoa(len(file)), "", "",
	}, "\r\n")
	if _, err := conn.Write(append([]byte(head), file[:50_000]...)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil { // the way back stays open
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 503 ") || !strings.Contains(string(got), "send the rest") {
		t.Errorf("got %q, %v", got, err)
	}
}
