package store

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// ClaimJob implements farm.Queue. Claims follow each other, as shares are counted over rows that they change: SQLite
// has one writer anyway, on PostgreSQL a lock of the transaction's own does it.
func (s *Store) ClaimJob(ctx context.Context, want farm.Want, take func(*farm.JobRecord) error) (*farm.JobRecord, error) {
	var claimed *farm.JobRecord
	err := s.tx(ctx, func(t *tx) error {
		if t.dialect == postgres {
			if _, err := t.exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('modfarm claim'))`); err != nil {
				return err
			}
		}
		j, err := t.jobOfLease(ctx, want)
		if j != nil || err != nil {
			claimed = j
			return err
		}
		if j, err = t.bestJob(ctx, want); err != nil {
			return err
		}
		before, err := jobValues(j)
		if err != nil {
			return err
		}
		if err := take(j); err != nil {
			return err
		}
		if err := t.saveJob(ctx, j, before); err != nil {
			return err
		}
		claimed = j
		return t.appendLog(ctx, j)
	})
	return claimed, err
}

// jobOfLease finds the job that was claimed with the wanted lease before; nil when there is none.
func (t *tx) jobOfLease(ctx context.Context, want farm.Want) (j *farm.JobRecord, err error) {
	if len(want.LeaseHashes) == 0 {
		return nil, nil //nolint:nilnil // documented
	}
	args := make([]any, len(want.LeaseHashes))
	for i, hash := range want.LeaseHashes {
		args[i] = hash
	}
	err = t.all(ctx, `SELECT `+jobColumns+` FROM jobs WHERE lease_hash IN (`+marks(len(args))+`)`, args, func(row scanner) error {
		j, err = scanJob(row)
		return err
	})
	return j, err
}

// bestJob takes the head of each line (an organization's jobs for one offer, read off an index in the order of age)
// and picks one of the heads by share, rank and age.
func (t *tx) bestJob(ctx context.Context, want farm.Want) (*farm.JobRecord, error) {
	if len(want.Offers) == 0 {
		return nil, fmt.Errorf("%w: nothing offered", module.ErrNotFound)
	}
	query, args := bestJobQuery(want)
	var j *farm.JobRecord
	err := t.all(ctx, query, args, func(row scanner) error {
		var err error
		j, err = scanJob(row)
		return err
	})
	if err == nil && j == nil {
		err = fmt.Errorf("%w: nothing queued for these offers", module.ErrNotFound)
	}
	return j, err
}

// bestJobQuery is the question for the best job; every part of it reads an index, whatever else is queued.
func bestJobQuery(want farm.Want) (query string, args []any) {
	values := strings.TrimSuffix(strings.Repeat(`(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT)), `,
		len(want.Offers)), ", ")
	for _, o := range want.Offers {
		args = append(args, o.Platform.String(), string(o.Strategy), int64(o.Rank), millisOrNever(o.HeldAfter), millisOrNever(o.AvoidAfter))
	}
	memory := want.Memory
	if memory == 0 {
		memory = math.MaxInt64
	}
	args = append(args, want.DefaultMemory, memory, want.Worker, millis(want.Overdue))
	return `WITH offer (platform, strategy, preference, held_after, avoid_after) AS (VALUES ` + values + `),
		org AS (
			SELECT DISTINCT q.platform, q.org_id FROM jobs q
			WHERE q.state = 'queued' AND q.platform IN (SELECT platform FROM offer)),
		head AS (
			SELECT org.org_id, offer.preference, (
				SELECT q.id FROM jobs q JOIN builds b ON b.id = q.build_id
				WHERE q.state = 'queued' AND q.platform = org.platform AND q.org_id = org.org_id
					AND CASE WHEN q.memory = 0 THEN CAST(? AS BIGINT) ELSE q.memory END <= CAST(? AS BIGINT)
					AND CASE WHEN q.avoid_until > offer.avoid_after AND q.worker = CAST(? AS TEXT) THEN FALSE
						WHEN q.pin <> '' THEN q.pin = offer.strategy ELSE q.queued_at <= offer.held_after AND NOT EXISTS (
						SELECT 1 FROM failed_strategies f
						WHERE f.module_id = b.module_id AND f.platform = q.platform AND f.strategy = offer.strategy) END
				ORDER BY q.created_at, q.build_id LIMIT 1) AS id
			FROM org JOIN offer ON offer.platform = org.platform),
		share AS (
			SELECT r.org_id, COUNT(*) AS running FROM jobs r
			WHERE r.state = 'running' AND r.platform IN (SELECT platform FROM offer) GROUP BY r.org_id)
		SELECT j.` + strings.ReplaceAll(jobColumns, ", ", ", j.") + `
		FROM head JOIN jobs j ON j.id = head.id LEFT JOIN share ON share.org_id = head.org_id
		ORDER BY COALESCE(share.running, 0), (SELECT MAX(s.started_at) FROM jobs s WHERE s.org_id = head.org_id),
			CASE WHEN j.queued_at <= CAST(? AS BIGINT) THEN 0 ELSE head.preference END, j.created_at, j.build_id, j.platform, head.preference
		LIMIT 1`, args
}

// millisOrNever is a time for comparing others with: nothing comes after the zero time.
func millisOrNever(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return millis(t)
}

// Line implements farm.Queue.
func (s *Store) Line(ctx context.Context, p module.Platform) ([]farm.Share, error) {
	var shares []farm.Share
	err := s.all(ctx, `SELECT q.org_id, COUNT(*),
			(SELECT COUNT(*) FROM jobs r WHERE r.state = 'running' AND r.platform = ? AND r.org_id = q.org_id),
			(SELECT MAX(s.started_at) FROM jobs s WHERE s.org_id = q.org_id)
		FROM jobs q WHERE q.state = 'queued' AND q.platform = ? GROUP BY q.org_id ORDER BY q.org_id`,
		[]any{p.String(), p.String()}, func(row scanner) error {
			var share farm.Share
			var served int64
			err := row.Scan(&share.OrgID, &share.Queued, &share.Running, &served)
			share.Served = fromMillis(served)
			shares = append(shares, share)
			return err
		})
	return shares, err
}

// Ahead implements farm.Queue.
func (s *Store) Ahead(ctx context.Context, j *farm.JobRecord, limit int) ([]string, int, error) {
	const before = ` FROM jobs WHERE state = 'queued' AND platform = ? AND org_id = ?
		AND (created_at, build_id) < (CAST(? AS BIGINT), CAST(? AS TEXT))`
	args := []any{j.Job.Platform.String(), j.OrgID, millis(j.Job.CreatedAt), j.Job.BuildID}
	var total int
	if err := s.one(ctx, `SELECT COUNT(*)`+before, args, &total); err != nil || total == 0 {
		return nil, total, err
	}
	var builds []string
	err := s.all(ctx, `SELECT build_id`+before+` ORDER BY created_at, build_id LIMIT ?`, append(args, limit), func(row scanner) error {
		var id string
		err := row.Scan(&id)
		builds = append(builds, id)
		return err
	})
	return builds, total, err
}

// Overdue implements farm.Agenda.
func (s *Store) Overdue(ctx context.Context, state farm.JobState, before time.Time, limit int) ([]farm.JobRef, error) {
	const one = `SELECT j.id, j.build_id, j.platform FROM jobs j `
	var query string
	switch state {
	case farm.Resolving: // one job stands for its build
		query = `SELECT MIN(j.id), b.id, MIN(j.platform) FROM jobs j JOIN builds b ON b.id = j.build_id
			WHERE j.state = 'resolving' AND b.resolve_after < ? GROUP BY b.id, b.resolve_after ORDER BY b.resolve_after, b.id LIMIT ?`
	case farm.Queued:
		query = one + `WHERE j.state = 'queued' AND j.rung_at < ? ORDER BY j.rung_at, j.created_at, j.id LIMIT ?`
	case farm.Running:
		query = one + `WHERE j.state = 'running' AND j.lease_until < ? ORDER BY j.lease_until, j.id LIMIT ?`
	case farm.Publishing:
		query = one + `WHERE j.state = 'publishing' AND j.lease_until < ? ORDER BY j.lease_until, j.id LIMIT ?`
	default:
		return nil, fmt.Errorf("state %q is never overdue", state)
	}
	var due []farm.JobRef
	err := s.all(ctx, query, []any{millis(before), limit}, func(row scanner) error {
		var ref farm.JobRef
		var platform string
		if err := row.Scan(&ref.JobID, &ref.BuildID, &platform); err != nil {
			return err
		}
		var err error
		ref.Platform, err = module.ParsePlatform(platform)
		due = append(due, ref)
		return err
	})
	return due, err
}

// MarkRung implements farm.Agenda.
func (s *Store) MarkRung(ctx context.Context, jobIDs []string, at time.Time) error {
	return s.tx(ctx, func(t *tx) error {
		for _, id := range jobIDs {
			if _, err := t.exec(ctx, `UPDATE jobs SET rung_at = ? WHERE id = ? AND state = 'queued'`, millis(at), id); err != nil {
				return err
			}
		}
		return nil
	})
}
