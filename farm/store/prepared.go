package store

import (
	"context"
	"database/sql"
)

// prepared returns the statement of a query that is asked thousands of times a second: SQLite takes two thirds of
// such a read to parse it. There are few of those, each a constant text, so they are kept until the store closes.
func (s *Store) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.often.Load(query); ok {
		return stmt.(*sql.Stmt), nil //nolint:forcetypeassert // nothing else is stored
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	stmt, err := s.read.PrepareContext(ctx, s.q(query))
	if err != nil {
		return nil, mapError(err)
	}
	if first, loaded := s.often.LoadOrStore(query, stmt); loaded {
		_ = stmt.Close()              //nolint:sqlclosecheck // at once: another caller was faster
		return first.(*sql.Stmt), nil //nolint:forcetypeassert // nothing else is stored
	}
	return stmt, nil
}

// oneOften is one for a query that is asked very often.
func (s *Store) oneOften(ctx context.Context, query string, args []any, dest ...any) error {
	stmt, err := s.prepared(ctx, query) //nolint:sqlclosecheck // kept until the store closes
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return mapError(stmt.QueryRowContext(ctx, args...).Scan(dest...))
}

// allOften is all for a query that is asked very often.
func (s *Store) allOften(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	stmt, err := s.prepared(ctx, query) //nolint:sqlclosecheck // kept until the store closes
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := stmt.QueryContext(ctx, args...)
	return eachRow(rows, err, scan)
}
