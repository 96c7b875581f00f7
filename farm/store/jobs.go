package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

const jobColumns = `id, build_id, platform, state, step, reason, attempt, worker, strategy, pin, fallback_from, release,
	lease_hash, lease_until, cancel, rung_at, log_size, created_at, started_at, ended_at, org_id, queued_at, memory, report, avoid_until`

// jobColumnCount is how many jobColumns are.
const jobColumnCount = 25

// errStale means that a job changed between reading and writing; the transaction is run again.
var errStale = fmt.Errorf("%w: the job is being changed by others", module.ErrUnavailable)

// saveJob writes a job's row if it is still as before says in what every step of a job changes.
func (t *tx) saveJob(ctx context.Context, j *farm.JobRecord, before []any) error {
	values, err := jobValues(j)
	if err != nil {
		return err
	}
	state, attempt, lease := before[3], before[6], before[12] // as in jobColumns
	n, err := t.exec(ctx, `UPDATE jobs SET (`+jobColumns+`) = (`+marks(jobColumnCount)+`)
		WHERE id = ? AND state = ? AND attempt = ? AND lease_hash = ?`, append(values, j.Job.ID, state, attempt, lease)...)
	if err == nil && n != 1 {
		err = errStale
	}
	return err
}

func jobValues(j *farm.JobRecord) ([]any, error) {
	release, err := jsonText(j.Job.Release, j.Job.Release != nil)
	if err != nil {
		return nil, fmt.Errorf("release of job %s: %w", j.Job.ID, err)
	}
	report, err := jsonText(j.Job.Report, j.Job.Report != nil)
	if err != nil {
		return nil, fmt.Errorf("report of job %s: %w", j.Job.ID, err)
	}
	job := j.Job
	return []any{
		job.ID, job.BuildID, job.Platform.String(), string(job.State), job.Step, job.Reason, int64(job.Attempt), job.Worker,
		string(job.Strategy), string(j.Pin), string(job.FallbackFrom), release, j.LeaseHash, millis(j.LeaseUntil),
		flag(job.CancelRequested), millis(j.RungAt), job.LogSize, millis(job.CreatedAt), millis(job.StartedAt), millis(job.EndedAt),
		j.OrgID, millis(job.QueuedAt), job.Memory, report, millis(j.AvoidUntil),
	}, nil
}

func scanJob(row scanner) (*farm.JobRecord, error) {
	var (
		rec                                          farm.JobRecord
		platform, state, strategy, pin, fallbackFrom string
		release, report                              *string
		until, rung, created, started, ended, cancel int64
		queued, avoid                                int64
		j                                            = &rec.Job
	)
	err := row.Scan(&j.ID, &j.BuildID, &platform, &state, &j.Step, &j.Reason, &j.Attempt, &j.Worker, &strategy, &pin,
		&fallbackFrom, &release, &rec.LeaseHash, &until, &cancel, &rung, &j.LogSize, &created, &started, &ended,
		&rec.OrgID, &queued, &j.Memory, &report, &avoid)
	if err != nil {
		return nil, err
	}
	if j.Platform, err = module.ParsePlatform(platform); err != nil {
		return nil, fmt.Errorf("job %s: %w", j.ID, err)
	}
	j.State, j.CancelRequested = farm.JobState(state), cancel != 0
	j.Strategy, rec.Pin, j.FallbackFrom = module.Strategy(strategy), module.Strategy(pin), module.Strategy(fallbackFrom)
	j.CreatedAt, j.StartedAt, j.EndedAt = fromMillis(created), fromMillis(started), fromMillis(ended)
	rec.LeaseUntil, rec.RungAt, j.QueuedAt = fromMillis(until), fromMillis(rung), fromMillis(queued)
	rec.AvoidUntil = fromMillis(avoid)
	if report != nil {
		j.Report = &module.BuildReport{}
		if err := json.Unmarshal([]byte(*report), j.Report); err != nil {
			return nil, fmt.Errorf("stored report of job %s: %w", j.ID, err)
		}
	}
	if release != nil {
		j.Release = &module.Release{}
		if err := json.Unmarshal([]byte(*release), j.Release); err != nil {
			return nil, fmt.Errorf("stored release of job %s: %w", j.ID, err)
		}
	}
	return &rec, nil
}

// BuildOf implements farm.Queue.
func (s *Store) BuildOf(ctx context.Context, jobID string) (string, error) {
	var id string
	return id, s.one(ctx, `SELECT build_id FROM jobs WHERE id = ?`, []any{jobID}, &id)
}

// FailedStrategies implements farm.Queue.
func (s *Store) FailedStrategies(ctx context.Context, id module.ID) ([]farm.FailedStrategy, error) {
	var failed []farm.FailedStrategy
	err := s.all(ctx, `SELECT platform, strategy, failed_at FROM failed_strategies WHERE module_id = ? ORDER BY platform, strategy`,
		[]any{id.String()}, func(row scanner) error {
			var platform, strategy string
			var at int64
			if err := row.Scan(&platform, &strategy, &at); err != nil {
				return err
			}
			p, err := module.ParsePlatform(platform)
			failed = append(failed, farm.FailedStrategy{Platform: p, Strategy: module.Strategy(strategy), At: fromMillis(at)})
			return err
		})
	return failed, err
}

// marks is n placeholders.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// jsonText is a value as JSON text, or NULL when it is not there.
func jsonText(v any, present bool) (any, error) {
	if !present {
		return nil, nil
	}
	data, err := json.Marshal(v)
	return string(data), err
}
