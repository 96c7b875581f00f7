package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modfarm/modfarm/client"
)

// logLatency is the time from when a script writes a line to when those who follow the log have it, for 99 of 100 lines.
type logLatency struct{}

// logReaders is how many follow the log at once; all of them count.
const logReaders = 21

// marks is how many lines the script writes in a round, four a second and never in step with anything.
const marks = 40

const markScript = `for i in {1..40}; do
	echo "mark ${EPOCHREALTIME/[^0-9]/}"
	sleep 0.$((RANDOM % 4 + 1))$((RANDOM % 10))
done
` + smallScript

// Name implements measure.
func (logLatency) Name() string { return "log-latency" }

// Run implements measure.
func (logLatency) Run(ctx context.Context, l *lab) (result, error) {
	f, err := l.farm(ctx)
	if err != nil {
		return result{}, err
	}
	r, err := l.scripted(ctx, f, "marks", markScript)
	if err != nil {
		return result{}, err
	}
	var all []time.Duration
	for range l.rounds {
		if err := sleep(ctx, settling); err != nil {
			return result{}, err
		}
		took, err := f.marked(ctx, r)
		if err != nil {
			return result{}, err
		}
		l.say("log-latency: of %d lines half came within %.1f ms, the last after %.1f ms", len(took),
			atMost(took, 50, 0).value, atMost(took, 100, 0).value)
		all = append(all, took...)
	}
	return atMost(all, 99, 200), nil
}

// marked builds once and returns how long each line took to each reader.
func (f *farm) marked(ctx context.Context, r client.BuildRequest) ([]time.Duration, error) {
	id, err := f.client.StartBuild(ctx, r)
	if err != nil {
		return nil, err
	}
	b, err := f.client.Build(ctx, id)
	if err != nil {
		return nil, err
	}
	took := make([][]time.Duration, logReaders)
	g, ctx := errgroup.WithContext(ctx)
	for i := range logReaders {
		g.Go(func() error {
			c, err := f.Client() // a connection of its own
			if err != nil {
				return err
			}
			took[i], err = readMarks(ctx, c, b.Jobs[0].ID)
			return err
		})
	}
	err = g.Wait()
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return all, err
}

// readMarks follows a log and returns how old each mark was when it came.
func readMarks(ctx context.Context, c *client.Client, job string) (took []time.Duration, err error) {
	var text []byte
	err = c.FollowLog(ctx, job, 0, func(c client.LogChunk) error {
		now := time.Now()
		text = append(text, c.Data...)
		for {
			line, rest, whole := bytes.Cut(text, []byte("\n"))
			if !whole {
				return nil
			}
			text = rest
			written, is := strings.CutPrefix(string(line), "mark ")
			if !is {
				continue
			}
			micros, err := strconv.ParseInt(written, 10, 64)
			if err != nil {
				return fmt.Errorf("the clock of the script: %w", err)
			}
			took = append(took, now.Sub(time.UnixMicro(micros)))
		}
	})
	if err == nil && len(took) != marks {
		err = fmt.Errorf("a reader of the log saw %d marks of %d", len(took), marks)
	}
	return took, err
}
