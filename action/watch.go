package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/problems"
)

// patience is how long the farm may be away while a build is watched.
const patience = 3 * time.Minute

// watch shows the logs of a build's jobs, one group after another although they run side by side: a
// job that has something to show is followed to its end; what the others wrote meanwhile is still
// there when their turn comes, as the farm keeps it.
type watch struct {
	*step
	farm  Watcher
	id    string
	shown map[string]int64            // by job: how much of its log was printed
	said  map[string]string           // by job: what it was last said to wait for
	tails map[string]string           // by job: the end of its log
	found map[string]*problems.Finder // by job: what compilers said in it
}

func (w *watch) run(ctx context.Context) (client.Build, error) {
	w.shown, w.said, w.tails = map[string]int64{}, map[string]string{}, map[string]string{}
	w.found = map[string]*problems.Finder{}
	for {
		build, err := w.look(ctx)
		if err != nil {
			return client.Build{}, err
		}
		if len(build.Jobs) == 0 {
			return build, errors.New("the farm knows no platforms of this build; its owner finds more in the farm's log")
		}
		job := w.choose(build.Jobs)
		switch {
		case job != nil:
			err = w.show(ctx, *job, build.Workdir)
		case build.Done():
			return build, nil
		default:
			w.sayWaiting(build.Jobs)
			err = pause(ctx, w.env.Poll)
		}
		if err != nil {
			return client.Build{}, err
		}
	}
}

// choose prefers a job that has ended, whose log costs no waiting, to one that runs; nil when every
// log was shown so far as there is one. The order is that of the platforms.
func (w *watch) choose(jobs []client.Job) *client.Job {
	ended := slices.IndexFunc(jobs, func(j client.Job) bool { return j.Terminal && w.hasMore(j) })
	if ended >= 0 {
		return &jobs[ended]
	}
	active := slices.IndexFunc(jobs, func(j client.Job) bool { return w.hasMore(j) && j.LogSize > 0 })
	if active >= 0 {
		return &jobs[active]
	}
	return nil
}

func (w *watch) hasMore(j client.Job) bool {
	offset, seen := w.shown[j.ID]
	return !seen || offset < j.LogSize
}

// show prints one job's log as it happens, until the job has ended.
func (w *watch) show(ctx context.Context, job client.Job, workdir string) error {
	title := job.Platform.String()
	if _, again := w.shown[job.ID]; again {
		title += " (continued)"
	}
	w.gh.Group(title)
	log := newLogText(w.out)
	if w.found[job.ID] == nil {
		w.found[job.ID] = problems.New(workdir)
	}
	err := w.farm.FollowLog(ctx, job.ID, w.shown[job.ID], func(chunk client.LogChunk) error {
		log.write(chunk.Step, chunk.Data)
		_, _ = w.found[job.ID].Write(chunk.Data) // never fails
		w.shown[job.ID] = chunk.Offset + int64(len(chunk.Data))
		return ctx.Err()
	})
	log.close()
	w.gh.EndGroup()
	w.tails[job.ID] += log.tail()
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", job.Platform, err)
	}
	// Seen as far as it went when the job was looked at, even if that was nothing at all.
	w.shown[job.ID] = max(w.shown[job.ID], job.LogSize)
	return nil
}

// sayWaiting says what each job that has not begun waits for, once for each reason.
func (w *watch) sayWaiting(jobs []client.Job) {
	for _, job := range jobs {
		if job.Terminal {
			continue
		}
		text := fmt.Sprintf("%s: %s", job.Platform, job.State)
		if job.Reason != "" {
			text += ": " + job.Reason
		}
		if w.said[job.ID] != text {
			w.said[job.ID] = text
			w.say(text)
		}
	}
}

// look reads the build, and bears with a farm that is restarted meanwhile.
func (w *watch) look(ctx context.Context) (client.Build, error) {
	since := time.Now()
	for {
		build, err := w.farm.Build(ctx, w.id)
		if err == nil || !errors.Is(err, module.ErrUnavailable) || time.Since(since) > patience {
			return build, err
		}
		if err := pause(ctx, w.env.Poll); err != nil {
			return client.Build{}, err
		}
	}
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
