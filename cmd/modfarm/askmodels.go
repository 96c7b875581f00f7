package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/module"
	modulev1 "github.com/modfarm/modfarm/proto/gen/viam/module/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/module/v1/modulev1connect"
)

const (
	// readyTimeout is how long a module may take until it is ready: an interpreter with large libraries,
	// on a busy or emulated machine.
	readyTimeout = 60 * time.Second
	// readyCall bounds one question, and readyPause lies between two: what machines do.
	readyCall  = 3 * time.Second
	readyPause = 200 * time.Millisecond
	// endGrace is how long a module may take to end before it is killed.
	endGrace = 5 * time.Second
	// keptOutput is how much of a module's output an error shows, in bytes.
	keptOutput = 4 << 10
)

// askModels starts a built module, asks which models it serves, and ends it with all that it started.
func askModels(ctx context.Context, binary string) (served []module.Served, err error) {
	program, err := filepath.Abs(binary) // a bare name is a file here, and never one of PATH
	if err != nil {
		return nil, fmt.Errorf("--binary: %w", err)
	}
	dir, err := os.MkdirTemp("", "modfarm-") // short: the path of a socket has room for a hundred bytes
	if err != nil {
		return nil, fmt.Errorf("make a folder for the module's socket: %w", err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "module.sock")
	var output lastOutput
	cmd := exec.Command(program, socket) //nolint:noctx // it is asked to end first; see endGroup
	cmd.Env = append(os.Environ(), "VIAM_NO_MODULE_PARENT=true", "VIAM_MODULE_DATA="+dir)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = endGrace // for what it started and left behind with its output open
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, hinted(fmt.Errorf("start %s: %w", binary, err), "build the module for this machine first; a script needs its executable bit and an interpreter in its first line")
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // cmd.ProcessState has it
		close(ended)
	}()
	defer func() { endGroup(cmd, ended, endGrace) }()
	ready, stop := context.WithTimeout(ctx, readyTimeout)
	defer stop()
	served, err = askReady(ready, socket, ended)
	select {
	case <-ended:
		if err != nil && ctx.Err() == nil {
			return nil, hinted(fmt.Errorf("%s ended (%s) before it was ready%s", binary, cmd.ProcessState, output.quoted()),
				"a module listens on the socket that is its first argument; try it: %s /tmp/module.sock", binary)
		}
	default:
	}
	switch {
	case err == nil:
		return served, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, hinted(fmt.Errorf("%s was not ready within %s: %w%s", binary, readyTimeout, err, output.quoted()),
		"a module serves viam.module.v1.ModuleService on the socket that is its first argument")
}

// askReady asks until the module is ready, has ended, or ctx ends. The error is that of the last try.
func askReady(ctx context.Context, socket string, ended <-chan struct{}) ([]module.Served, error) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}
	defer transport.CloseIdleConnections()
	service := modulev1connect.NewModuleServiceClient(&http.Client{Transport: transport}, "http://module", connect.WithGRPC())
	last := errors.New("it did not answer")
	tick := time.NewTicker(readyPause)
	defer tick.Stop()
	for {
		call, stop := context.WithTimeout(ctx, readyCall)
		res, err := service.Ready(call, &modulev1.ReadyRequest{})
		stop()
		switch {
		case err == nil && res.GetReady():
			return servedBy(res.GetHandlermap())
		case err == nil:
			last = errors.New("it says that it is not ready")
		case ctx.Err() == nil:
			last = err
		}
		select {
		case <-ended:
			return nil, last
		case <-ctx.Done():
			return nil, last
		case <-tick.C:
		}
	}
}

// servedBy reads the models of a module's answer. Names that meta.json could not have are refused.
func servedBy(handlers *modulev1.HandlerMap) ([]module.Served, error) {
	var served []module.Served
	for _, h := range handlers.GetHandlers() {
		name := h.GetSubtype().GetSubtype()
		api := name.GetNamespace() + ":" + name.GetType() + ":" + name.GetSubtype()
		for _, model := range h.GetModels() {
			if strings.Count(api, ":") != 2 || strings.Count(model, ":") != 2 {
				return nil, fmt.Errorf("it serves the model %q of the API %q, which are not three names joined by colons", model, api)
			}
			served = append(served, module.Served{API: api, Model: model})
		}
	}
	return served, nil
}

// lastOutput keeps the end of what a module writes.
type lastOutput struct {
	mu   sync.Mutex
	kept []byte
}

// Write keeps the end.
func (o *lastOutput) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, b...)
	o.kept = o.kept[max(0, len(o.kept)-keptOutput):]
	return len(b), nil
}

// quoted is what was kept, on lines of its own.
func (o *lastOutput) quoted() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := strings.TrimSpace(string(o.kept))
	if text == "" {
		return "; it wrote nothing"
	}
	return "; it wrote:\n" + text
}
