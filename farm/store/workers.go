package store

import (
	"context"
	"time"
)

// Drain implements farm.Drains.
func (s *Store) Drain(ctx context.Context, worker string, at time.Time) error {
	_, err := s.exec(ctx, `INSERT INTO drained_workers (name, drained_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, worker, millis(at))
	return err
}

// Undrain implements farm.Drains.
func (s *Store) Undrain(ctx context.Context, worker string) error {
	_, err := s.exec(ctx, `DELETE FROM drained_workers WHERE name = ?`, worker)
	return err
}

// Drained implements farm.Drains.
func (s *Store) Drained(ctx context.Context) (map[string]time.Time, error) {
	drained := map[string]time.Time{}
	err := s.allOften(ctx, `SELECT name, drained_at FROM drained_workers`, nil, func(row scanner) error {
		var name string
		var at int64
		err := row.Scan(&name, &at)
		drained[name] = fromMillis(at)
		return err
	})
	return drained, err
}

// Worked implements farm.Drains.
func (s *Store) Worked(ctx context.Context, worker string) (bool, error) {
	worked := false
	err := s.all(ctx, `SELECT 1 FROM jobs WHERE worker = ? LIMIT 1`, []any{worker}, func(row scanner) error {
		var one int
		worked = true
		return row.Scan(&one)
	})
	return worked, err
}

// Holding implements farm.Drains.
func (s *Store) Holding(ctx context.Context) (map[string]int, error) {
	holding := map[string]int{}
	err := s.all(ctx, `SELECT worker, COUNT(*) FROM jobs WHERE state = 'running' GROUP BY worker`, nil, func(row scanner) error {
		var name string
		var jobs int
		err := row.Scan(&name, &jobs)
		holding[name] = jobs
		return err
	})
	return holding, err
}
