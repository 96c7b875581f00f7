package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

const (
	// drawEvery is how often the page of a build is drawn.
	drawEvery = 200 * time.Millisecond
	// tailBytes is how much of a log that is there already is read for its last line.
	tailBytes = 4 << 10
)

func newBuildWatch(lookup lookupFunc) *cobra.Command {
	var f farmFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch BUILD",
		Short: "Watch a build: a line for each platform with its step, time and last line of log",
		Long: `Watch a build until it has ended: a line for each platform, with its state, its
step, how long it takes and the last line of its log. Without a terminal, or with
--json, each change is a line on standard error instead.

Ctrl-C leaves the build alone, and says how to cancel it.

Exit status 3: the build itself failed.`,
		Example: "  modfarm module build watch 5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client(lookup)
			if err != nil {
				return err
			}
			w := newWatch(c, args[0], module.Platform{}, io.Discard, cmd.ErrOrStderr())
			var build client.Build
			if screen, ok := cmd.OutOrStdout().(*os.File); ok && isTerminal(screen) && !asJSON {
				build, err = newPage(w, screen).run(cmd.Context())
			} else {
				build, err = w.changes(cmd.Context())
			}
			if err != nil {
				return f.left(cmd.Context(), args[0], err)
			}
			failed := verdict(cmd.ErrOrStderr(), build)
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(build); err != nil {
					return err
				}
			}
			return failed
		},
		ValidArgsFunction: completeBuilds(&f, lookup),
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the build as JSON when it has ended")
	return cmd
}

// page shows a build on a terminal: one line a platform, drawn over and over.
type page struct {
	watch *watch
	out   io.Writer
	width func() int
	drawn int // lines on the screen

	mu    sync.Mutex
	tails map[string]string // by job: the last line of its log
}

func newPage(w *watch, screen *os.File) *page {
	return &page{watch: w, out: screen, tails: map[string]string{}, width: func() int {
		width, _, err := term.GetSize(int(screen.Fd()))
		if err != nil || width < 20 {
			return 80
		}
		return width
	}}
}

// run draws until the build has ended or ctx has.
func (p *page) run(ctx context.Context) (client.Build, error) {
	ctx, leave := context.WithCancel(ctx)
	var tails sync.WaitGroup
	defer tails.Wait()
	defer leave()
	followed := map[string]bool{}
	var build client.Build
	var looked time.Time
	for {
		if time.Since(looked) >= lookEvery {
			var err error
			if build, err = p.watch.look(ctx); err != nil {
				return build, err
			}
			looked = time.Now()
		}
		for _, job := range build.Jobs {
			if job.LogSize > 0 && !job.Terminal && !followed[job.ID] {
				followed[job.ID] = true
				tails.Go(func() { p.tail(ctx, job) })
			}
		}
		p.draw(build, time.Now())
		if build.Done() {
			return build, nil
		}
		if err := pause(ctx, drawEvery); err != nil {
			return build, err
		}
	}
}

// tail keeps the last line of a job's log. Without it the page shows less.
func (p *page) tail(ctx context.Context, job client.Job) {
	var rest []byte
	_ = p.watch.farm.FollowLog(ctx, job.ID, max(0, job.LogSize-tailBytes), func(chunk client.LogChunk) error {
		rest = append(rest, chunk.Data...)
		if len(rest) > tailBytes {
			rest = rest[len(rest)-tailBytes:]
		}
		if line := lastLine(rest); line != "" {
			p.mu.Lock()
			p.tails[job.ID] = line
			p.mu.Unlock()
		}
		return nil
	})
}

var colourCodes = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// lastLine is the last line of a log that says something, as plain text. What a carriage return wrote over is gone.
func lastLine(data []byte) string {
	var plain bytes.Buffer
	_, _ = (&safeText{w: &plain}).Write(data) // a buffer takes everything
	lines := strings.FieldsFunc(colourCodes.ReplaceAllString(plain.String(), ""), func(r rune) bool { return r == '\n' || r == '\r' })
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimSpace(strings.ToValidUTF8(line, "")); line != "" {
			return line
		}
	}
	return ""
}

// draw writes the lines over those of the last time.
func (p *page) draw(build client.Build, now time.Time) {
	var screen strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&screen, "\x1b[%dA", p.drawn)
	}
	width := p.width()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, job := range build.Jobs {
		screen.WriteString("\r\x1b[K" + cut(pageLine(job, p.tails[job.ID], now), width-1) + "\n")
	}
	p.drawn = len(build.Jobs)
	_, _ = io.WriteString(p.out, screen.String()) // a terminal that is gone ends the process by itself
}

// pageLine is the line of a platform.
func pageLine(job client.Job, last string, now time.Time) string {
	text := fmt.Sprintf("%-14s %-10s", job.Platform, job.State)
	switch {
	case job.Terminal:
		text += " " + took(job.StartedAt, job.EndedAt) + phrase("  ", oneLine(job.Reason))
	case job.State == client.JobRunning:
		text += fmt.Sprintf(" %s  %s%s", took(job.StartedAt, now), job.Step, phrase("  ", last))
	default:
		text += " " + took(job.CreatedAt, now) + phrase("  ", oneLine(job.Reason))
	}
	return text
}

// took is how long something takes, in a column.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return fmt.Sprintf("%6s", "")
	}
	return fmt.Sprintf("%6s", max(0, to.Sub(from)).Round(time.Second))
}

// cut shortens a line to the width of a terminal.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(0, width-1)]) + "…"
}
