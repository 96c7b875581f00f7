package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

const (
	// lookEvery is how often a build is looked at while nothing else tells of it.
	lookEvery = time.Second
	// quietFor is longer than most compilers think about one file.
	quietFor = 2 * time.Minute
	// awayFor is how long the farm may be away while a build is watched.
	awayFor = 3 * time.Minute
)

// watch shows a build to its end: each change of state on say, and the logs on
// log, one platform after the other although they run side by side. What the
// others write meanwhile is still there when their turn comes, as the farm
// keeps it.
type watch struct {
	farm  *client.Client
	id    string
	only  module.Platform // zero for all
	log   io.Writer
	say   io.Writer
	shown map[string]int64 // by job: how much of its log was written
	// quiet is how long a log may say nothing before that is said, and how often then.
	quiet time.Duration

	mu      sync.Mutex
	said    map[string]string // by job: what was last said of it
	open    bool              // the log stands within a line
	pending []string          // what waits for the end of that line
	heard   time.Time         // when the log that is followed last said something
	silent  time.Duration     // how long it was said to be silent
}

// follow watches a build until it has ended or ctx has.
func follow(ctx context.Context, c *client.Client, id string, only module.Platform, log, say io.Writer) (client.Build, error) {
	w := newWatch(c, id, only, log, say)
	build, err := w.run(ctx)
	if ctx.Err() != nil {
		w.endLine()
	}
	return build, err
}

func newWatch(c *client.Client, id string, only module.Platform, log, say io.Writer) *watch {
	return &watch{
		farm: c, id: id, only: only, log: safeOutput(log), say: safeOutput(say), shown: map[string]int64{}, said: map[string]string{}, quiet: quietFor,
	}
}

// changes says each change of state until the build has ended, and shows no log.
func (w *watch) changes(ctx context.Context) (client.Build, error) {
	for {
		build, err := w.look(ctx)
		if err != nil {
			return build, err
		}
		w.sayChanges(build.Jobs, "")
		if build.Done() {
			return build, nil
		}
		if err := pause(ctx, lookEvery); err != nil {
			return build, err
		}
	}
}

func (w *watch) run(ctx context.Context) (client.Build, error) {
	for {
		build, err := w.look(ctx)
		if err != nil {
			return build, err
		}
		w.sayChanges(build.Jobs, "")
		job, found := w.choose(build.Jobs)
		switch {
		case found:
			err = w.show(ctx, job)
		case build.Done():
			return build, nil
		default:
			err = pause(ctx, lookEvery)
		}
		if err != nil {
			return build, err
		}
	}
}

// choose prefers a job that has ended, whose log costs no waiting, to one that
// runs. The order is that of the platforms.
func (w *watch) choose(jobs []client.Job) (client.Job, bool) {
	more := func(j client.Job) bool { return j.LogSize > w.shown[j.ID] }
	i := slices.IndexFunc(jobs, func(j client.Job) bool { return j.Terminal && more(j) })
	if i < 0 {
		i = slices.IndexFunc(jobs, more)
	}
	if i < 0 {
		return client.Job{}, false
	}
	return jobs[i], true
}

// show writes one job's log as it happens, until the job has ended, and says
// what happens to the others.
func (w *watch) show(ctx context.Context, job client.Job) error {
	if _, err := fmt.Fprintf(w.log, "==> %s\n", job.Platform); err != nil {
		return err
	}
	w.hear()
	looking, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { w.observe(looking, job.ID) })
	err := w.farm.FollowLog(ctx, job.ID, w.shown[job.ID], func(chunk client.LogChunk) error {
		w.shown[job.ID] = chunk.Offset + int64(len(chunk.Data))
		return w.write(chunk.Data)
	})
	stop()
	others.Wait()
	w.endLine()
	// Seen as far as it went when the job was looked at.
	w.shown[job.ID] = max(w.shown[job.ID], job.LogSize)
	return err
}

// observe says what happens while a log is followed. It leaves errors to that.
func (w *watch) observe(ctx context.Context, following string) {
	for pause(ctx, lookEvery) == nil {
		if build, err := w.look(ctx); err == nil {
			w.sayChanges(build.Jobs, following)
			w.saySilence(build.Jobs, following, time.Now())
		}
	}
}

// hear notes that the log which is followed said something.
func (w *watch) hear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard, w.silent = time.Now(), 0
}

// saySilence tells a person, who may think that nothing happens, that a job goes on without a word. The log that the
// farm keeps says nothing of it.
func (w *watch) saySilence(jobs []client.Job, following string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	silent := now.Sub(w.heard).Truncate(w.quiet)
	i := slices.IndexFunc(jobs, func(j client.Job) bool { return j.ID == following })
	if silent <= w.silent || i < 0 || jobs[i].State != client.JobRunning {
		return
	}
	w.silent = silent
	if w.open { // that line may never end
		fmt.Fprintln(w.say)
	}
	fmt.Fprintf(w.say, "%s: %s; no output for %s\n", jobs[i].Platform, standing(jobs[i]), silent)
}

// look reads the build, and bears with a farm that is restarted meanwhile. The
// jobs are those asked for.
func (w *watch) look(ctx context.Context) (client.Build, error) {
	since := time.Now()
	for {
		build, err := w.farm.Build(ctx, w.id)
		if err == nil {
			return w.filter(build)
		}
		if ctx.Err() != nil || !errors.Is(err, module.ErrUnavailable) || time.Since(since) > awayFor {
			return build, err
		}
		if err := pause(ctx, lookEvery); err != nil {
			return build, err
		}
	}
}

func (w *watch) filter(build client.Build) (client.Build, error) {
	if w.only.IsZero() {
		return build, nil
	}
	names := platformsOf(build.Jobs)
	build.Jobs = slices.DeleteFunc(build.Jobs, func(j client.Job) bool { return j.Platform != w.only })
	if len(build.Jobs) == 0 {
		return build, fmt.Errorf("--platform %q: build %s is for %s only", w.only, build.ID, names)
	}
	return build, nil
}

// sayChanges says what is new of each job; equal news of several platforms are
// one line. A job that is followed speaks by its log. The end of all jobs is not
// said, as the verdicts come then.
func (w *watch) sayChanges(jobs []client.Job, following string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := !slices.ContainsFunc(jobs, func(j client.Job) bool { return !j.Terminal })
	var order []string
	news := map[string][]client.Job{}
	for _, job := range jobs {
		text := standing(job)
		if w.said[job.ID] == text {
			continue
		}
		w.said[job.ID] = text
		if ended || (job.ID == following && (job.State == client.JobRunning || job.Terminal)) {
			continue
		}
		if news[text] == nil {
			order = append(order, text)
		}
		news[text] = append(news[text], job)
	}
	for _, text := range order {
		w.sayLine(platformsOf(news[text]) + ": " + text)
	}
}

// standing says in a line where a job stands. Why it ended is for its verdict.
func standing(j client.Job) string {
	text := string(j.State)
	if j.Terminal {
		return text
	}
	if j.State == client.JobRunning {
		text += phrase(", ", string(j.Strategy)) + phrase(" on ", j.Worker) + phrase(": ", j.Step)
	}
	if j.CancelRequested {
		text += ", to be cancelled"
	}
	return text + phrase(": ", oneLine(j.Reason))
}

// phrase is empty when there is nothing to say.
func phrase(before, what string) string {
	if what == "" {
		return ""
	}
	return before + what
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func platformsOf(jobs []client.Job) string {
	var names []string
	for _, job := range jobs {
		names = append(names, job.Platform.String())
	}
	return strings.Join(names, ", ")
}

// sayLine writes a line, or keeps it until the log's line has ended. The caller
// holds mu.
func (w *watch) sayLine(text string) {
	if w.open {
		w.pending = append(w.pending, text)
		return
	}
	fmt.Fprintln(w.say, text)
}

func (w *watch) write(data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(data) == 0 {
		return nil
	}
	w.heard, w.silent = time.Now(), 0
	if _, err := w.log.Write(data); err != nil {
		return err
	}
	w.open = data[len(data)-1] != '\n'
	w.flush()
	return nil
}

// endLine ends a line of the log that was left open.
func (w *watch) endLine() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open {
		fmt.Fprintln(w.log)
		w.open = false
	}
	w.flush()
}

func (w *watch) flush() {
	if w.open {
		return
	}
	for _, text := range w.pending {
		fmt.Fprintln(w.say, text)
	}
	w.pending = nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
