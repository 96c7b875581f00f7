package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
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

// sentry is the guard of one build: a container whose network namespace the build's container joins, and which is
// the only one that can change what this namespace reaches. When the guard ends, the engine takes the network away.
type sentry struct {
	r      *Runner
	id     string
	policy module.NetworkPolicy
	proxy  string // of the policy registries

	conn    *client.HijackedResponse
	answers chan guard.Report
	ended   chan struct{} // closed when nothing comes from the guard any more
	said    bytes.Buffer  // what it complained of; to be read after ended

	mu      sync.Mutex
	refused func(hostport string)
}

// makeGuard makes the container of a guard; begin starts it.
func (r *Runner) makeGuard(ctx context.Context, room workers.Room) (*sentry, error) {
	made, err := r.createGuard(ctx, room)
	if errdefs.IsNotFound(err) { // somebody cleaned up
		if err = r.guardImage.ensure(ctx, r.engine); err == nil {
			made, err = r.createGuard(ctx, room)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGuard, err)
	}
	return &sentry{r: r, id: made.ID, answers: make(chan guard.Report, 1), ended: make(chan struct{})}, nil
}

func (r *Runner) createGuard(ctx context.Context, room workers.Room) (client.ContainerCreateResult, error) {
	processes := int64(guardProcesses)
	return r.makeContainer(ctx, client.ContainerCreateOptions{
		Name: guardName(room),
		Config: &container.Config{
			Image: r.guardImage.ref, Cmd: []string{"watch"}, User: "0:0",
			AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true, StdinOnce: true,
			Labels: map[string]string{
				labelWorker: r.opts.Name, labelJob: room.Job,
				labelAttempt: strconv.Itoa(room.Attempt), labelLease: room.Lease,
			},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: container.NetworkMode(r.network), CapDrop: []string{"ALL"}, CapAdd: []string{"NET_ADMIN"},
			SecurityOpt: []string{"no-new-privileges"}, ReadonlyRootfs: true, AutoRemove: true, LogConfig: container.LogConfig{Type: "none"},
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
	s.adopt(ctx, room)
	return nil
}

// begin starts the guard and has it cut everything off.
func (s *sentry) begin(ctx context.Context) error {
	// The connection lives as long as the guard: it has to outlast the context of this call.
	attached, err := s.r.engine.ContainerAttach(context.WithoutCancel(ctx), s.id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return fmt.Errorf("%w: %w", errGuard, err)
	}
	s.conn = &attached.HijackedResponse
	go s.listen()
	if _, err := s.r.engine.ContainerStart(ctx, s.id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("%w: %w", errGuard, err)
	}
	_, err = s.order(ctx, guard.Order{Config: &s.r.guardConfig, Policy: module.NetworkNone})
	return err
}

// listen hands over the guard's reports until it ends.
func (s *sentry) listen() {
	defer close(s.ended)
	r, w := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(w, &limited{&s.said}, s.conn.Reader)
		w.CloseWithError(errors.Join(err, io.EOF))
	}()
	in := json.NewDecoder(r)
	for {
		var report guard.Report
		if err := in.Decode(&report); err != nil {
			_ = r.CloseWithError(err)
			return
		}
		if report.Refused != "" {
			s.tell(report.Refused)
		}
		if report.Done {
			select {
			case s.answers <- report:
			default: // nobody asked
			}
		}
	}
}

// order has a policy put in force and gives the guard's answer. Whatever goes wrong, the namespace reaches what it
// did before, or less.
func (s *sentry) order(ctx context.Context, o guard.Order) (guard.Report, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return guard.Report{}, fmt.Errorf("%w: %w", errGuard, err)
	}
	if _, err := s.conn.Conn.Write(append(line, '\n')); err != nil {
		return guard.Report{}, s.lost(err)
	}
	timer := time.NewTimer(guardTimeout)
	defer timer.Stop()
	select {
	case answer := <-s.answers:
		if answer.Error != "" {
			return answer, fmt.Errorf("%w: %s", errGuard, answer.Error)
		}
		s.policy, s.proxy = o.Policy, answer.Proxy
		return answer, nil
	case <-s.ended:
		return guard.Report{}, s.lost(errors.New("it ended"))
	case <-timer.C:
		s.conn.Close() // a late answer must not be taken for that of the next order
		return guard.Report{}, fmt.Errorf("%w: its guard does not answer within %s", errGuard, guardTimeout)
	case <-ctx.Done():
		s.conn.Close()
		return guard.Report{}, context.Cause(ctx)
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

// onRefusal names who is told of what the proxy refuses; nil for nobody.
func (s *sentry) onRefusal(f func(hostport string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = f
}

func (s *sentry) tell(hostport string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != nil {
		s.refused(hostport)
	}
}

// close removes the guard, and with it the network.
func (s *sentry) close(ctx context.Context) error {
	err := s.r.remove(ctx, s.id)
	if s.conn != nil { // not before: a guard without orders ends, and the engine removes it then, too
		s.conn.Close()
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
