package docker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

const (
	// guardTimeout bounds one order to a guard.
	guardTimeout   = 30 * time.Second
	guardMemory    = 256 << 20
	guardProcesses = 64
)

// sentry is the guard of one build at a time: a container whose network namespace the build's container joins, and which
// is the only one that can change what this namespace reaches. It also reads what the build writes, and keeps that until
// it is told to forget it. When the guard ends, the engine takes the network away.
type sentry struct {
	r       *Runner
	id      string
	network string // the id of the one that it was made on; "" when it is not known
	pipes   string // the folder of its pipes, on the worker's disk
	policy  module.NetworkPolicy
	proxy   string // of the policy registries

	conn  *client.HijackedResponse
	ended chan struct{} // closed when nothing comes from the guard any more
	said  bytes.Buffer  // what it complained of; to be read after ended

	giving  sync.Mutex // one order at a time
	writing sync.Mutex // one line at a time
	mu      sync.Mutex
	asked   string            // the order that waits for its answer
	answers chan guard.Report // to that
	output  *output           // of the command that runs; nil for none
}

// makeGuard makes the container of a guard on the network with this id; begin starts it.
func (r *Runner) makeGuard(ctx context.Context, room workers.Room, network string) (*sentry, error) {
	pipes, err := r.makePipes()
	if err != nil {
		return nil, err
	}
	made, err := r.createGuard(ctx, room, pipes)
	if errdefs.IsNotFound(err) { // somebody cleaned up
		if err = r.guardImage.ensure(ctx, r.engine); err == nil {
			made, err = r.createGuard(ctx, room, pipes)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGuard, errors.Join(err, os.RemoveAll(pipes)))
	}
	s := r.sentry(made.ID, pipes)
	s.network = network
	return s, nil
}

func (r *Runner) sentry(id, pipes string) *sentry {
	return &sentry{r: r, id: id, pipes: pipes, answers: make(chan guard.Report, 1), ended: make(chan struct{})}
}

func (r *Runner) createGuard(ctx context.Context, room workers.Room, pipes string) (client.ContainerCreateResult, error) {
	processes := int64(guardProcesses)
	return r.makeContainer(ctx, client.ContainerCreateOptions{
		Name: guardName(room),
		Config: &container.Config{
			Image: r.guardImage.ref, Cmd: []string{"watch"}, User: "0:0", StopTimeout: r.limits.stopSeconds(),
			AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true, StdinOnce: r.opts.Alone <= 0,
			Labels: map[string]string{labelWorker: r.opts.Name}, // its name tells the build, which changes
		},
		HostConfig: &container.HostConfig{
			NetworkMode: container.NetworkMode(r.network), CapDrop: []string{"ALL"}, CapAdd: []string{"NET_ADMIN"},
			SecurityOpt: []string{"no-new-privileges"}, ReadonlyRootfs: true, AutoRemove: true, LogConfig: container.LogConfig{Type: "none"},
			Mounts:    []mount.Mount{pipesMount(pipes)},
			Resources: container.Resources{Memory: guardMemory, MemorySwap: guardMemory, PidsLimit: &processes},
		},
		Platform: ociPlatform(r.host),
	})
}

func guardName(room workers.Room) string { return containerName(room) + "-guard" }

// beginFor makes the guard ready for a job.
func (s *sentry) beginFor(ctx context.Context, room workers.Room) error {
	if s.conn == nil {
		return s.begin(ctx)
	}
	if err := s.rename(ctx, room); err != nil { // the name is for people
		s.r.log().DebugContext(ctx, "rename a guard", "container", s.id, "error", err)
	}
	return nil
}

// begin starts the guard and has it cut everything off.
func (s *sentry) begin(ctx context.Context) error {
	if err := s.attach(ctx); err != nil {
		return err
	}
	if _, err := s.r.engine.ContainerStart(ctx, s.id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("%w: %w", errGuard, err)
	}
	_, err := s.order(ctx, guard.Order{Config: s.config(), Policy: module.NetworkNone})
	return err
}

func (s *sentry) config() *guard.Config {
	config := s.r.guardConfig
	config.Alone = max(0, s.r.opts.Alone)
	return &config
}

// attach connects with the guard. The connection lives as long as the guard: it has to outlast the context of this
// call.
func (s *sentry) attach(ctx context.Context) error {
	attached, err := s.r.engine.ContainerAttach(context.WithoutCancel(ctx), s.id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return fmt.Errorf("%w: %w", errGuard, err)
	}
	s.conn = &attached.HijackedResponse
	go s.listen()
	if s.r.opts.Alone > 0 {
		go s.keepCompany(s.r.opts.Alone / 10)
	}
	return nil
}

// keepCompany tells the guard now and then that its worker is there.
func (s *sentry) keepCompany(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-tick.C:
			_ = s.tell(guard.Order{}) // who gives the next order learns of it
		}
	}
}

// listen hands over the guard's reports until it ends.
func (s *sentry) listen() {
	defer close(s.ended)
	r, w := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(w, &limited{&s.said}, s.conn.Reader)
		w.CloseWithError(errors.Join(err, io.EOF))
	}()
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			_ = r.CloseWithError(err)
			return
		}
		var report guard.Report
		if json.Unmarshal(line, &report) != nil {
			continue // the end of a line to the process before
		}
		s.hear(report)
	}
}

// hear hands over one report: output to the command that runs, and an answer to who asked.
func (s *sentry) hear(report guard.Report) {
	s.mu.Lock()
	out, asked := s.output, s.asked
	s.mu.Unlock()
	switch {
	case report.Output && out != nil && out.pipe == report.Pipe:
		select {
		case out.reports <- report:
		case <-out.over:
		}
	case !report.Output && asked != "" && report.ID == asked:
		select {
		case s.answers <- report:
		default: // it was answered
		}
	}
}

// tell gives an order that is not answered.
func (s *sentry) tell(o guard.Order) error {
	line, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("%w: %w", errGuard, err)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.conn.Conn.Write(append(line, '\n')); err != nil {
		return s.lost(err)
	}
	return nil
}

// order has something done and gives the guard's answer. Whatever goes wrong, the namespace reaches what it did
// before, or less.
func (s *sentry) order(ctx context.Context, o guard.Order) (guard.Report, error) {
	s.giving.Lock()
	defer s.giving.Unlock()
	o.ID = rand.Text()
	s.await(o.ID)
	defer s.await("")
	if err := s.tell(o); err != nil {
		return guard.Report{}, err
	}
	timer := time.NewTimer(guardTimeout)
	defer timer.Stop()
	select {
	case answer := <-s.answers:
		if answer.Error != "" {
			return answer, fmt.Errorf("%w: %s", errGuard, answer.Error)
		}
		s.policy, s.proxy = answer.Policy, answer.Proxy
		return answer, nil
	case <-s.ended:
		return guard.Report{}, s.lost(errors.New("it ended"))
	case <-timer.C:
		s.conn.Close() // what it does is not known any more
		return guard.Report{}, fmt.Errorf("%w: its guard does not answer within %s", errGuard, guardTimeout)
	case <-ctx.Done():
		s.conn.Close()
		return guard.Report{}, context.Cause(ctx)
	}
}

// await names the order that is to be answered next; "" for none.
func (s *sentry) await(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = id
	select {
	case <-s.answers: // to the order before
	default:
	}
}

// lost says why a guard is gone, in its own words when it left some.
func (s *sentry) lost(err error) error {
	select {
	case <-s.ended:
		if words := strings.TrimSpace(s.said.String()); words != "" {
			return fmt.Errorf("%w: its guard ended: %s", errGuard, words)
		}
	case <-time.After(time.Second):
	}
	return fmt.Errorf("%w: its guard cannot be reached: %w", errGuard, err)
}

// close removes the guard, and with it the network.
func (s *sentry) close(ctx context.Context) error {
	err := s.r.remove(ctx, s.id)
	if s.conn != nil { // not before: a guard without orders ends, and the engine removes it then, too
		s.conn.Close()
	}
	if err == nil {
		_ = os.RemoveAll(s.pipes) // empty files, and the next start of the worker removes them
	}
	return err
}

// limited keeps the first part of what is written to it.
type limited struct{ b *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	const most = 4096
	l.b.Write(p[:min(len(p), max(0, most-l.b.Len()))])
	return len(p), nil
}
