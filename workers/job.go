package workers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// How long the farm is given for the last bytes of a log, and for the end of a job.
const (
	logPatience    = time.Minute
	finishPatience = 10 * time.Minute
)

// Names of the steps, as readers of a log see them.
const (
	stepPrepare = "Spin up environment"
	stepFetch   = "Fetch source"
	stepSetup   = "Setup"
	stepBuild   = "Build"
	stepInspect = "Inspect archive"
	// StepUpload is what the log calls sending the archive to the farm.
	StepUpload = "Upload archive"
)

// job is one attempt at building one platform.
type job struct {
	pool *Pool
	a    *client.Assignment
	dir  string // its folder on the worker's disk
	log  *jobLog
	beat *heartbeat
	slog *slog.Logger

	strategy module.Strategy
	until    time.Time      // when all steps together have to be done; zero before the first
	ready    *ready         // a container that nobody uses yet; nil when there is none
	closing  sync.WaitGroup // containers that are being removed

	kept  saved         // for the next process of this worker
	notes *logNotes     // how far the log has come
	note  *logNote      // where that of the process before stood; nil when it is lost
	taken KeptContainer // one that was taken up and that nobody uses yet; nil for none
	pace  pace

	telling sync.Mutex
	report  module.BuildReport // what the farm is told of how it was built
}

// reported changes what the farm is told of how the archive was built.
func (j *job) reported(change func(*module.BuildReport)) {
	j.telling.Lock()
	defer j.telling.Unlock()
	change(&j.report)
}

// told is the report as it is now; nil while there is nothing to tell.
func (j *job) told() *module.BuildReport {
	j.telling.Lock()
	defer j.telling.Unlock()
	if j.report.Image == "" {
		return nil
	}
	report := j.report
	return &report
}

// runJob builds a job, or goes on with the one that was left, and tells the farm how it went. It returns when nothing of it is left.
func (p *Pool) runJob(ctx context.Context, a *client.Assignment, left *saved) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	logger := p.log().With("job", a.Job.ID, "module", a.Build.Module.String(), "platform", a.Job.Platform.String())
	beat := newHeartbeat(p.Farm, a.Lease, stop, logger)
	p.register(a.Job.ID, beat)
	defer p.register(a.Job.ID, nil)
	j := &job{pool: p, a: a, beat: beat, slog: logger, pace: pace{claimed: time.Now()}}
	defer j.cleanUp(ctx) // last, so that nobody waits for it
	beats, silence := context.WithCancel(context.WithoutCancel(ctx))
	var beating sync.WaitGroup
	beating.Go(func() { beat.run(beats) })
	defer beating.Wait()
	defer silence()

	logger.InfoContext(ctx, "building", "version", a.Build.Version.String(), "commit", a.Build.Commit, "attempt", a.Job.Attempt)
	started := time.Now()
	err := j.attempt(ctx, left)
	if errors.Is(err, client.ErrLeaseLost) {
		logger.WarnContext(ctx, "the lease was lost: another worker has the job", "error", err)
		return
	}
	out := outcomeOf(err, j.strategy)
	out.Report = j.told()
	p.rest.note(out.Kind, err) // before another worker, or this one, can claim the job again
	p.finish(context.WithoutCancel(ctx), a, out, logger)
	logger.InfoContext(ctx, "done", "outcome", outcomeName(out.Kind), "reason", out.Reason, "strategy", string(j.strategy),
		"seconds", int(time.Since(started).Seconds()))
}

func (p *Pool) register(jobID string, h *heartbeat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h == nil {
		delete(p.running, jobID)
		return
	}
	p.running[jobID] = h
}

// finish tells the farm until it answers, for as long as that makes sense.
func (p *Pool) finish(ctx context.Context, a *client.Assignment, out client.Outcome, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, finishPatience)
	defer cancel()
	for try := 0; ; try++ {
		_, err := p.Farm.Finish(ctx, a.Lease.LeaseRef, out)
		if err == nil {
			return
		}
		if !temporary(err) || (backoff{}).sleep(ctx, try) != nil {
			logger.ErrorContext(ctx, "the farm could not be told how the job ended", "outcome", outcomeName(out.Kind), "error", err)
			return
		}
	}
}

// attempt builds in a folder of its own, which stays. The log is with the farm when it returns, as far as the farm
// takes it.
func (j *job) attempt(ctx context.Context, left *saved) (err error) {
	if left != nil {
		err = j.takeUp(ctx, left)
	} else if j.dir, err = os.MkdirTemp(j.pool.jobsDir(), j.a.Job.ID+"-"); err != nil {
		err = fmt.Errorf("make a folder for the job: %w", err)
	}
	if err != nil {
		return err
	}
	output := cmp.Or(j.pool.LogTotal, DefaultLogTotal)
	spool, sent, note, err := j.openLog(left, output)
	if err != nil {
		return err
	}
	defer spool.remove()
	defer j.notes.close()
	j.note = note
	j.save(func(s *saved) { s.Lease, s.Step = j.a.Lease.LeaseRef, cmp.Or(s.Step, stepPrepare) })
	secrets := append([]string{j.a.Token, j.a.Lease.Token}, j.pool.Secrets...)
	j.log = newJobLog(spool, secrets, cmp.Or(j.pool.LogLine, DefaultLogLine), output)
	if note != nil && j.kept.held() != nil {
		j.log.goOn(*note)
	}
	if err := j.log.noteIn(j.notes); err != nil {
		return err
	}
	j.log.first = func() { j.pace.tell(ctx, j.slog) }
	defer j.ship(ctx, spool, sent)()
	return causeOf(ctx, j.build(ctx))
}

// ship sends the log beside the build; the function it returns ends the log and waits for the rest to arrive.
func (j *job) ship(ctx context.Context, s *spool, sent int64) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sh := &shipper{farm: j.pool.Farm, lease: j.a.Lease.LeaseRef, spool: s, base: j.kept.LogBase, from: sent, log: j.slog}
	done := make(chan error, 1)
	go func() { done <- sh.run(ctx) }()
	return func() {
		j.log.close()
		late := time.AfterFunc(logPatience, cancel)
		err := <-done
		late.Stop()
		cancel()
		if err != nil && !errors.Is(err, client.ErrLeaseLost) {
			j.slog.WarnContext(ctx, "the end of the log did not reach the farm", "error", err)
		}
	}
}

// cleanUp removes what is left of the job: containers that are on their way out, and its folder. What cannot be
// removed is told to the owner of the machine, not to the author.
func (j *job) cleanUp(ctx context.Context) {
	j.closing.Wait()
	if j.dir == "" {
		return
	}
	if err := j.pool.Runner.RemoveFolder(context.WithoutCancel(ctx), j.dir); err != nil {
		j.slog.ErrorContext(ctx, leftBehind, "folder", j.dir, "error", err)
	}
}

// step begins a step: in the log, and at the farm.
func (j *job) step(name string) {
	j.log.begin(name)
	j.beat.tell(name, module.StrategyAuto)
}

// room is the job's container of a platform.
func (j *job) room(p module.Platform) Room {
	sum := sha256.Sum256([]byte(j.a.Lease.Token))
	return Room{
		Platform: p, Distro: j.a.Build.Distro, Folder: j.tree(), Cache: j.cache(),
		Job: j.a.Job.ID, Attempt: j.a.Job.Attempt, Lease: hex.EncodeToString(sum[:6]),
		Say: func(s string) { j.log.say("%s", s) },
	}
}

// tree is the folder of the checkout.
func (j *job) tree() string { return filepath.Join(j.dir, "tree") }

func outcomeName(k client.OutcomeKind) string {
	names := map[client.OutcomeKind]string{
		client.OutcomeDone: "done", client.OutcomeFailed: "failed", client.OutcomeFault: "fault",
		client.OutcomeFallback: "fallback", client.OutcomeRefused: "refused", client.OutcomeReturned: "returned",
	}
	return names[k]
}
