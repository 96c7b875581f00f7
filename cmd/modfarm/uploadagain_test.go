package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/api"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/proto/wire"
)

// stall is a farm whose first upload stands still in the middle.
type stall struct {
	farm http.Handler
	half chan struct{} // closed when the upload stands
	gone chan struct{} // close it when the sender is gone

	mu   sync.Mutex
	puts []int64 // where each piece of an upload began
}

// stallAfter is how many bytes of the first upload pass.
const stallAfter = 700_000

func (s *stall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		at, _ := strconv.ParseInt(r.Header.Get(wire.HeaderOffset), 10, 64) // -1 would not be its beginning either
		s.mu.Lock()
		s.puts = append(s.puts, at)
		first := len(s.puts) == 1
		s.mu.Unlock()
		if first {
			r.Body = &stalled{Reader: io.LimitReader(r.Body, stallAfter), Closer: r.Body, at: s}
		}
	}
	s.farm.ServeHTTP(w, r)
}

func (s *stall) offsets() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.puts)
}

type stalled struct {
	io.Reader
	io.Closer
	at *stall
}

// Read breaks off when the sender is gone.
func (s *stalled) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		close(s.at.half)
		<-s.at.gone
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *stall) start(t *testing.T) (url string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(s, nil)
	go func() { _ = server.Serve(l) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

// An upload whose process is interrupted in the middle is gone on with by the next process.
func TestInterruptedUploadGoesOn(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	noise := make([]byte, 2_000_000)
	_, _ = rand.Read(noise) // never fails
	file := apitest.Archive(t,
		apitest.Member{Name: "run.sh", Mode: 0o755, Data: []byte("#!/bin/sh\n")},
		apitest.Member{Name: "noise", Mode: 0o644, Data: noise},
	)
	name := writeFile(t, "module.tar.gz", string(file))
	s := &stall{farm: p.farm.Handler, half: make(chan struct{}), gone: make(chan struct{})}
	url, home := s.start(t), t.TempDir()
	upload := func() (*exec.Cmd, *bytes.Buffer) {
		var said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "modfarm", "module", "upload", "--module", p.meta, "--version", "1.0.0", "--platform", "linux/amd64", name)
		cmd.Env = append(os.Environ(), "HOME="+home, "MODFARM_URL="+url, "MODFARM_KEY_ID="+p.farm.KeyID, "MODFARM_KEY="+p.farm.Key)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &said
	}
	first, said := upload()
	select {
	case <-s.half:
	case <-time.After(time.Minute):
		t.Error("the upload did not come to its middle")
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	err := first.Wait()
	close(s.gone)
	if err == nil || first.ProcessState.ExitCode() != exitInterrupted || !strings.Contains(said.String(), "run the same command again") {
		t.Fatalf("interrupted: %v\n%s", err, said)
	}
	second, said := upload()
	if err := second.Wait(); err != nil {
		t.Fatalf("again: %v\n%s", err, said)
	}
	offsets := s.offsets()
	if offsets[0] != 0 || len(offsets) < 2 || slices.Contains(offsets[1:], 0) {
		t.Errorf("pieces began at %v: the second process began anew", offsets)
	}
	p.run("module", "download", "acme:widget", "1.0.0", "--platform", "linux/amd64", "--output", name+".back").want(exitOK, name, "")
	got, err := os.ReadFile(name + ".back")
	if err != nil || !bytes.Equal(got, file) {
		t.Errorf("downloaded %d bytes of %d, %v", len(got), len(file), err)
	}
}
