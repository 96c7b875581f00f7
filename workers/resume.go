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
	// Report is what was known of how it was built.
	Report module.BuildReport `json:"report"`

	dir string
}

type savedPlan struct {
	Strategy module.Strategy `json:"strategy"`
	Because  string          `json:"because"`
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

// resume goes on with a job of an earlier process of this worker, where its lease still stands: what was built is
// delivered, and what was not is built again at once.
func (p *Pool) resume(ctx context.Context, s *saved) {
	logger := p.log().With("job", s.Lease.JobID)
	a, err := p.askAgain(ctx, s)
	if err != nil {
		logger.InfoContext(ctx, "a job of before the restart is not this worker's any more", "error", err)
		if err := p.Runner.RemoveFolder(context.WithoutCancel(ctx), s.dir); err != nil {
			logger.ErrorContext(ctx, leftBehind, "folder", s.dir, "error", err)
		}
		return
	}
	logger.InfoContext(ctx, "going on with a job of before the restart", "built", s.Built)
	p.runJob(ctx, a, s)
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

// takeUp makes this job the one that was left, and returns what the farm lacks of its log.
func (j *job) takeUp(ctx context.Context, s *saved) (rest []byte, err error) {
	spool, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("read the log of before the restart: %w", err)
	}
	if had := j.a.Job.LogSize - s.LogBase; had >= 0 && had < int64(len(spool)) {
		rest = spool[had:]
	}
	j.dir, j.kept, j.report, j.until = s.dir, *s, s.Report, s.Until
	if s.Built {
		return rest, nil
	}
	j.report, j.until = module.BuildReport{}, time.Time{}
	return rest, j.pool.Runner.RemoveFolder(ctx, j.tree())
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
