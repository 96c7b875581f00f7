package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// saved is what a job leaves in its folder for the next process of this worker. It holds the lease, so only the
// worker's user may read it.
type saved struct {
	Lease client.LeaseRef `json:"lease"`
	// LogBase is where in the job's log the spool of this attempt begins.
	LogBase int64  `json:"log_base"`
	Step    string `json:"step"`
	// Built says that the scripts are done: Plan is how, and the tree holds what came of it.
	Built bool      `json:"built"`
	Plan  savedPlan `json:"plan"`
	// Time is that of the source.
	Time time.Time `json:"time,omitzero"`
	// Until is when the build as a whole has to be done.
	Until time.Time `json:"until,omitzero"`
	// Running is the script that was begun last; nil before the first and after the last.
	Running *runningStep `json:"running,omitempty"`
	// Manifest and Settings are those that the scripts began with; they may change the files.
	Manifest json.RawMessage  `json:"manifest,omitempty"`
	Settings *module.Settings `json:"settings,omitempty"`
	// Report is what was known of how it was built.
	Report module.BuildReport `json:"report"`

	dir string
}

type savedPlan struct {
	Strategy  module.Strategy `json:"strategy"`
	Because   string          `json:"because"`
	Container module.Platform `json:"container"`
	Env       []string        `json:"env,omitempty"`
}

// runningStep is a script that goes on without its worker.
type runningStep struct {
	Key string `json:"key"`
	// Stream names its output in the log's note.
	Stream string `json:"stream"`
	// Until is when it has to be done.
	Until time.Time `json:"until"`
	// Held takes it up.
	Held Held `json:"held"`
	// Ended says that it did, well.
	Ended bool `json:"ended"`
}

const savedFile = "job.json"

// save keeps what the next process of this worker would need. A worker that cannot save goes on: it only builds again
// what it might have kept.
func (j *job) save(change func(*saved)) {
	j.telling.Lock()
	j.kept.Report = j.report
	j.telling.Unlock()
	change(&j.kept)
	data, err := json.Marshal(&j.kept)
	file := filepath.Join(j.dir, savedFile)
	if err == nil {
		err = os.WriteFile(file+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		j.slog.Warn("a job could not be noted for the case that this worker is restarted", "error", err)
	}
}

// leftJobs reads what earlier processes of this worker were at.
func (p *Pool) leftJobs() (left []*saved, err error) {
	files, err := filepath.Glob(filepath.Join(p.jobsDir(), "*", savedFile))
	if err != nil {
		return nil, fmt.Errorf("look for jobs of earlier processes: %w", err)
	}
	for _, file := range files {
		s := &saved{dir: filepath.Dir(file)}
		data, err := os.ReadFile(file)
		if err == nil && json.Unmarshal(data, s) == nil && s.Lease.JobID != "" {
			left = append(left, s)
		}
	}
	return left, nil
}

// resumePatience is how long the farm is asked whether a lease still stands.
const resumePatience = time.Minute

// resume goes on with a job of an earlier process of this worker, where its lease still stands: a script that runs is
// taken up, what was built is delivered, and all else is built again at once.
func (p *Pool) resume(ctx context.Context, s *saved) {
	logger := p.log().With("job", s.Lease.JobID)
	a, err := p.askAgain(ctx, s)
	if err != nil {
		logger.InfoContext(ctx, "a job of before the restart is not this worker's any more", "error", err)
		err := errors.Join(p.drop(ctx, s), p.Runner.RemoveFolder(context.WithoutCancel(ctx), s.dir))
		if err != nil {
			logger.ErrorContext(ctx, leftBehind, "folder", s.dir, "error", err)
		}
		return
	}
	logger.InfoContext(ctx, "going on with a job of before the restart", "built", s.Built, "running", s.Running != nil)
	p.runJob(ctx, a, s)
}

// drop removes the container of a script that is not taken up.
func (p *Pool) drop(ctx context.Context, s *saved) error {
	keeper, ok := p.Runner.(Keeper)
	if !ok || s.held() == nil {
		return nil
	}
	return keeper.Drop(context.WithoutCancel(ctx), s.held())
}

// held is what takes up the container of the job; nil when there is none to take up.
func (s *saved) held() Held {
	if s.Built || s.Running == nil {
		return nil
	}
	return s.Running.Held
}

func (p *Pool) askAgain(ctx context.Context, s *saved) (*client.Assignment, error) {
	ctx, cancel := context.WithTimeout(ctx, resumePatience)
	defer cancel()
	for try := 0; ; try++ {
		a, err := p.Farm.Resume(ctx, p.self(0), s.Lease)
		if err == nil || !temporary(err) || errors.Is(err, client.ErrLeaseLost) {
			return a, err
		}
		if serr := (backoff{first: time.Second, most: 5 * time.Second}).sleep(ctx, try); serr != nil {
			return nil, err
		}
	}
}

// keptManifest is the manifest that the scripts began with; nil when none did, or it is not to be read.
func (j *job) keptManifest() *module.Manifest {
	m := new(module.Manifest)
	if len(j.kept.Manifest) == 0 || json.Unmarshal(j.kept.Manifest, m) != nil {
		return nil
	}
	return m
}

// openLog opens the spool of the log, and says how far it had come when this job is one that was left.
func (j *job) openLog(left *saved, output int64) (s *spool, sent int64, note *logNote, err error) {
	path := filepath.Join(j.dir, "log")
	notes, err := openNotes(path + ".note")
	if err != nil {
		return nil, 0, nil, err
	}
	j.notes = notes
	if left != nil {
		n, noted := notes.last()
		info, err := os.Stat(path)
		if err == nil && !noted { // of a version that made no notes
			n = logNote{Size: info.Size(), Steps: []noteStep{{0, left.Step}}}
		}
		if sent = j.a.Job.LogSize - left.LogBase; err == nil && sent >= 0 && sent <= n.Size {
			if noted {
				note = &n
			}
			j.kept.LogBase = left.LogBase
			s, err = openSpool(path, n, output+ownLines)
			return s, sent, note, err
		}
	}
	j.kept.LogBase = j.a.Job.LogSize
	s, err = newSpool(path, output+ownLines)
	return s, 0, nil, err
}

// takeUp makes this job the one that was left.
func (j *job) takeUp(ctx context.Context, s *saved) error {
	j.dir, j.kept, j.report, j.until = s.dir, *s, s.Report, s.Until
	if s.Built || s.Running != nil {
		return nil
	}
	return j.startOver(ctx)
}

// startOver forgets what was there.
func (j *job) startOver(ctx context.Context) error {
	j.report, j.until = module.BuildReport{}, time.Time{}
	j.kept.Running, j.kept.Manifest, j.kept.Settings = nil, nil, nil
	return j.pool.Runner.RemoveFolder(ctx, j.tree())
}

// buildOn goes on with the script that runs. It is false, and the job as good as new, when that cannot be.
func (j *job) buildOn(ctx context.Context) (done bool, err error) {
	p := plan{strategy: j.kept.Plan.Strategy, because: j.kept.Plan.Because, container: j.kept.Plan.Container, env: j.kept.Plan.Env}
	c, box, err := j.takeUpScript(ctx, p)
	if err != nil {
		if ctx.Err() != nil {
			return true, err
		}
		j.slog.WarnContext(ctx, "a script of before the restart cannot be taken up", "error", err)
		j.log.startOver()
		j.log.say("the worker was restarted and could not take up the script that ran (%s); building again", sentence(err))
		return false, errors.Join(j.pool.drop(ctx, &j.kept), j.startOver(ctx))
	}
	j.slog.InfoContext(ctx, "took up the script that runs", "step", j.kept.Running.Key)
	j.strategy, j.taken = p.strategy, box
	return true, j.throughTo(ctx, p, c)
}

// takeUpScript gets hold of the container of the script that runs. The log has to be where its output is.
func (j *job) takeUpScript(ctx context.Context, p plan) (c checkout, box KeptContainer, err error) {
	keeper, ok := j.pool.Runner.(Keeper)
	switch running := j.kept.Running; {
	case !ok:
		return c, nil, errors.New("containers of this kind end with their worker")
	case running.Held == nil:
		return c, nil, errors.New("its worker kept none")
	case j.note == nil || j.note.Stream != running.Stream:
		return c, nil, errors.New("its log is not where it was")
	}
	if c, err = j.checkedOut(j.kept.Time); err != nil {
		return c, nil, err
	}
	box, err = keeper.TakeUp(ctx, j.room(p.container), j.kept.Running.Held)
	return c, box, err
}

// deliverBuilt goes on after the scripts.
func (j *job) deliverBuilt(ctx context.Context) error {
	c, err := j.checkedOut(j.kept.Time)
	if err != nil {
		return err
	}
	j.log.say("the worker was restarted; going on with what was built before")
	j.strategy = j.kept.Plan.Strategy
	file, report, err := j.conclude(ctx, plan{strategy: j.strategy, because: j.kept.Plan.Because}, c)
	if err != nil {
		return err
	}
	defer file.Close()
	return j.deliver(ctx, file, report, c)
}
