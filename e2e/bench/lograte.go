package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// chatter is builds whose script writes a hundred thousand lines a second, each beside one that writes them nowhere.
// Its measures share them.
type chatter struct {
	loud, silent []time.Duration
	grown        []float64 // MiB that the farm with its worker grew by at most during a loud one
	flood        []float64 // the same while a script writes as fast as it can
}

const (
	linesPerSecond = 100_000
	chatterSeconds = 10
)

// chatterScript writes numbered lines, a thousand each hundredth of a second; those that are compared differ in where
// the lines go.
func chatterScript(seconds int, to string) string {
	return fmt.Sprintf(`perl -MTime::HiRes=time,sleep -e '
	my $from = time;
	for my $block (0 .. %d) {
		print join("", map { sprintf "line %%07d of a build that says much\n", $block * 1000 + $_ } 0 .. 999);
		my $early = $from + ($block + 1) / 100 - time;
		sleep $early if $early > 0;
	}' >%s
`, seconds*linesPerSecond/1000-1, to) + smallScript
}

// floodScript writes as fast as it can and then ends; head keeps it below what a log may hold.
const floodScript = "yes 'a line of a build that says much more than anybody reads' | head -c 48M\n" + smallScript

// logRate is the time of such a build against one that writes its lines nowhere.
type logRate struct{ *chatter }

// Name implements measure.
func (logRate) Name() string { return "log-rate" }

// Run implements measure.
func (m logRate) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.take(ctx, l); err != nil {
		return result{}, err
	}
	return result{
		value: paired(m.loud, m.silent, over), bound: 1.1, unit: ratios(),
		samples: map[string][]float64{"loud": seconds(m.loud), "silent": seconds(m.silent)},
	}, nil
}

// logMemory is how much the farm with its worker grows meanwhile, and while a script writes as fast as it can. Both have
// shipped a short log before, so that what is left is what length and rate cost.
type logMemory struct{ *chatter }

// Name implements measure.
func (logMemory) Name() string { return "log-memory" }

// Run implements measure.
func (m logMemory) Run(ctx context.Context, l *lab) (result, error) {
	if err := m.take(ctx, l); err != nil {
		return result{}, err
	}
	return result{
		value: most(append(m.grown, m.flood...)), bound: 64, unit: mebibytes(),
		samples: map[string][]float64{"MiB at the rate": m.grown, "MiB of a flood": m.flood},
	}, nil
}

// take builds in rounds, once for all measures.
func (s *chatter) take(ctx context.Context, l *lab) (err error) {
	if s.loud != nil {
		return nil
	}
	f, err := l.openFarm(ctx, "logs", "--platforms", module.HostPlatform().String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(ctx, l.engine)) }()
	quiet, err := l.scripted(ctx, f, "silent", chatterScript(chatterSeconds, "/dev/null"))
	if err != nil {
		return err
	}
	loud, err := l.scripted(ctx, f, "loud", chatterScript(chatterSeconds, "/dev/stdout"))
	if err != nil {
		return err
	}
	flood, err := l.scripted(ctx, f, "flood", floodScript)
	if err != nil {
		return err
	}
	short, err := l.scripted(ctx, f, "short", chatterScript(1, "/dev/stdout"))
	if err != nil {
		return err
	}
	if _, err := l.chat(ctx, f, short, linesPerSecond); err != nil { // warms up
		return err
	}
	for range l.rounds {
		without, err := l.chat(ctx, f, quiet, 0)
		if err != nil {
			return err
		}
		with, err := l.chat(ctx, f, loud, chatterSeconds*linesPerSecond)
		if err != nil {
			return err
		}
		flooded, err := l.chat(ctx, f, flood, 0)
		if err != nil {
			return err
		}
		l.say("log-rate: %.2f s without output, %.2f s with it, which took %.0f MiB; a flood took %.2f s and %.0f MiB",
			without.took.Seconds(), with.took.Seconds(), with.grown, flooded.took.Seconds(), flooded.grown)
		s.silent, s.loud = append(s.silent, without.took), append(s.loud, with.took)
		s.grown, s.flood = append(s.grown, with.grown), append(s.flood, flooded.grown)
	}
	return nil
}

// chat is what one build took.
type chat struct {
	took  time.Duration
	grown float64 // MiB
}

// chat builds once, with a reader that follows the log and counts its lines, and looks at the farm's memory meanwhile.
func (l *lab) chat(ctx context.Context, f *farm, r client.BuildRequest, lines int) (c chat, err error) {
	if err := sleep(ctx, settling); err != nil {
		return c, err
	}
	before, err := residentMemory(f.PID())
	if err != nil {
		return c, err
	}
	ended := make(chan error, 1)
	began := time.Now()
	id, err := f.client.StartBuild(ctx, r)
	if err != nil {
		return c, err
	}
	b, err := f.client.Build(ctx, id)
	if err != nil {
		return c, err
	}
	go func() { ended <- f.countLines(ctx, b.Jobs[0].ID, lines) }()
	slow, leave := context.WithCancel(ctx)
	defer leave()
	go func() { // a reader that takes one piece and then nothing
		_ = f.client.FollowLog(slow, b.Jobs[0].ID, 0, func(client.LogChunk) error { <-slow.Done(); return slow.Err() })
	}()
	top := before
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return chat{time.Since(began), top - before}, err
		case <-tick.C:
			now, err := residentMemory(f.PID())
			if err != nil {
				return c, err
			}
			top = max(top, now)
		}
	}
}

// countLines follows a log to its end and holds that the script's lines are all there, each once and in order.
func (f *farm) countLines(ctx context.Context, job string, want int) error {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(f.client.FollowLog(ctx, job, 0, func(c client.LogChunk) error { _, err := w.Write(c.Data); return err }))
	}()
	defer r.Close()
	next := 0
	text := bufio.NewScanner(r)
	for text.Scan() {
		number, is := bytes.CutPrefix(text.Bytes(), []byte("line "))
		if !is {
			continue
		}
		number, _, _ = bytes.Cut(number, []byte(" "))
		if n, err := strconv.Atoi(string(number)); err != nil || n != next {
			return fmt.Errorf("in the log, %q follows line %d", text.Text(), next-1)
		}
		next++
	}
	if err := text.Err(); err != nil {
		return err
	}
	if next != want {
		return fmt.Errorf("the log has %d lines of the script, not %d", next, want)
	}
	return nil
}
