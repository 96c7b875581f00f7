package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker/guard"
)

// A guard is told to forget output when so much came since the last time, or it is so long ago. It keeps several times
// as much, so that a build hardly waits for that.
const (
	forgetAfter = 512 << 10
	forgetEvery = 250 * time.Millisecond
	// manyReports are more than a guard makes of all that it keeps, so that an answer is not stuck behind them.
	manyReports = 256
)

// output is what one command writes, as its guard reports it.
type output struct {
	pipe    string
	reports chan guard.Report
	over    chan struct{} // closed when nobody takes reports any more
}

// open makes a pipe for the next command and has the guard read it.
func (s *sentry) open(ctx context.Context) (out *output, inside string, err error) {
	name := "out-" + strings.ToLower(rand.Text())
	if inside, err = makePipe(s.pipes, name); err != nil {
		return nil, "", err
	}
	out = s.listenTo(name)
	if _, err := s.order(ctx, guard.Order{Open: name}); err != nil {
		s.leave(out)
		return nil, "", err
	}
	return out, inside, nil
}

// listenTo names the pipe whose output is wanted.
func (s *sentry) listenTo(pipe string) *output {
	out := &output{pipe: pipe, reports: make(chan guard.Report, manyReports), over: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.output = out
	return out
}

// leave ends the reading of a pipe.
func (s *sentry) leave(out *output) {
	close(out.over)
	s.mu.Lock()
	s.output = nil
	s.mu.Unlock()
	_ = s.tell(guard.Order{Close: true}) // a guard that is gone reads nothing
}

// follow copies the output of a running command until nobody can write there any more, or the command has ended and
// what it left behind keeps silent about that: a process in the background would otherwise keep the pipe open for good.
func (c *box) follow(ctx context.Context, exec string, out *output, from int64, to io.Writer) error {
	copying := &copier{guard: c.guard, to: to, at: from, forgot: from, when: time.Now()}
	poll := time.NewTicker(pollExec)
	defer poll.Stop()
	var late <-chan time.Time
	for {
		select {
		case r := <-out.reports:
			if err := copying.take(r); err != nil || r.End && r.At <= copying.at {
				return err
			}
		case <-ctx.Done():
			c.end(ctx)
			copying.drain(out)
			return context.Cause(ctx)
		case <-c.guard.ended:
			return c.guard.lost(errors.New("it ended"))
		case <-poll.C:
			if late == nil && !c.running(ctx, exec) {
				timer := time.NewTimer(lastOutput)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return nil
		}
	}
}

// copier hands output on, and has it forgotten where it is kept now.
type copier struct {
	guard      *sentry
	to         io.Writer
	at, forgot int64
	when       time.Time // of the last forgetting
	begun      bool      // something came from where it was asked for
}

// take takes a report, and has forgotten what is kept now.
func (p *copier) take(r guard.Report) error {
	if err := p.pass(r); err != nil {
		return err
	}
	safe := p.at
	if s, ok := p.to.(workers.Settler); ok {
		safe = s.Settled()
	}
	if safe-p.forgot < forgetAfter && (safe == p.forgot || time.Since(p.when) < forgetEvery) {
		return nil
	}
	p.forgot, p.when = safe, time.Now()
	return p.guard.tell(guard.Order{Ack: safe})
}

// pass hands on the output of a report. It may still belong to what the process before was sent: that goes on, from
// somewhere else, until the guard has heard where this process wants to go on. What was there comes again then.
func (p *copier) pass(r guard.Report) error {
	switch {
	case r.At > p.at && p.begun:
		return fmt.Errorf("%d bytes of the output are missing", r.At-p.at)
	case r.At > p.at:
		return nil
	}
	p.begun = p.begun || r.At+int64(len(r.Data)) >= p.at
	data := r.Data[min(p.at-r.At, int64(len(r.Data))):]
	if len(data) == 0 {
		return nil
	}
	p.at += int64(len(data))
	_, err := p.to.Write(data)
	return err
}

// drain takes the last words of a command that was ended.
func (p *copier) drain(out *output) {
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	for {
		select {
		case r := <-out.reports:
			if p.take(r) != nil || r.End { // why it was ended counts
				return
			}
		case <-p.guard.ended:
			return
		case <-timer.C:
			return
		}
	}
}

// awaitEnd waits for the end of a command that writes nothing any more, and gives its exit status.
func (c *box) awaitEnd(ctx context.Context, exec string) (code int, err error) {
	const first, most = 2 * time.Millisecond, 250 * time.Millisecond
	for wait, began := first, time.Now(); ; wait = min(2*wait, most) {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		got, err := c.r.engine.ExecInspect(call, exec, client.ExecInspectOptions{})
		if err == nil && got.Running && time.Since(began) > lastOutput && c.hasEnded(call) {
			got.Running = false // it went with the container
		}
		cancel()
		if err != nil || !got.Running {
			return got.ExitCode, err
		}
		select {
		case <-ctx.Done():
			c.end(ctx)
			return 0, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// hasEnded reports whether the container itself runs no more.
func (c *box) hasEnded(ctx context.Context) bool {
	got, err := c.r.engine.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	return err == nil && got.Container.State != nil && !got.Container.State.Running
}
