package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

// ClaimJob implements farm.Queue. One query holds what the worker offers against everything queued: native before
// cross before QEMU, then the oldest build. On PostgreSQL rows that another claim looks at are skipped, on SQLite
// claims follow each other.
func (s *Store) ClaimJob(ctx context.Context, offers []farm.Offer, take func(*farm.JobRecord) error) (*farm.JobRecord, error) {
	var claimed *farm.JobRecord
	err := s.tx(ctx, func(t *tx) error {
		j, err := t.bestJob(ctx, offers)
		if err != nil {
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

func (t *tx) bestJob(ctx context.Context, offers []farm.Offer) (*farm.JobRecord, error) {
	if len(offers) == 0 {
		return nil, fmt.Errorf("%w: nothing offered", module.ErrNotFound)
	}
	values := strings.TrimSuffix(strings.Repeat(`(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT)), `, len(offers)), ", ")
	var args []any
	for _, o := range offers {
		args = append(args, o.Platform.String(), string(o.Strategy), int64(o.Rank), flag(o.Held))
	}
	lock := ""
	if t.dialect == postgres {
		lock = ` FOR UPDATE OF j SKIP LOCKED`
	}
	var j *farm.JobRecord
	err := t.all(ctx, `WITH offer (platform, strategy, preference, held) AS (VALUES `+values+`)
		SELECT j.`+strings.ReplaceAll(jobColumns, ", ", ", j.")+`
		FROM jobs j
		JOIN builds b ON b.id = j.build_id
		JOIN offer ON offer.platform = j.platform
		WHERE j.state = 'queued' AND CASE WHEN j.pin <> '' THEN j.pin = offer.strategy ELSE offer.held = 0 AND NOT EXISTS (
			SELECT 1 FROM failed_strategies f
			WHERE f.module_id = b.module_id AND f.platform = j.platform AND f.strategy = offer.strategy) END
		ORDER BY offer.preference, b.created_at, b.id, j.platform
		LIMIT 1`+lock, args, func(row scanner) error {
		var err error
		j, err = scanJob(row)
		return err
	})
	if err == nil && j == nil {
		err = fmt.Errorf("%w: nothing queued for these offers", module.ErrNotFound)
	}
	return j, err
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
