// Package store keeps the farm's rows: builds, jobs, leases, logs, accounts, modules and releases, in SQLite or
// PostgreSQL. It owns schema, migrations, queries and the differences of the two dialects, and implements the store
// interfaces that farm, farm/account and farm/registry define. It never decides: which step a job may take, who may
// do what and which release wins are rules of its callers, which it runs inside its transactions.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// queryTimeout bounds one statement or transaction, so that a stuck database becomes an error and not a hang.
	queryTimeout = 30 * time.Second
	// openTimeout bounds connecting and migrating at start.
	openTimeout = 2 * time.Minute
	// retries is how often a transaction is run again after PostgreSQL reported a deadlock or a serialization failure.
	retries = 5
)

// Store is a database of one farm. It is safe for concurrent use; on PostgreSQL several processes may share one.
type Store struct {
	read    *sql.DB
	write   *sql.DB // the same pool as read on PostgreSQL; one single connection on SQLite
	dialect dialect
	often   sync.Map // *sql.Stmt by query; see prepared
}

// Open connects to the database that dsn names and brings its schema up to date. A dsn is the path of a SQLite file
// (made when absent, with mode 0600), "sqlite:///path", or a "postgres://" URL.
func Open(ctx context.Context, dsn string) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s, err := connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close gives the connections back. Statements under way end with an error.
func (s *Store) Close() error {
	if s.read == s.write {
		return s.write.Close()
	}
	return errors.Join(s.read.Close(), s.write.Close())
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return mapError(s.read.PingContext(ctx))
}

// q rewrites the placeholders of query for the store's dialect. Queries are written with `?` and hold no question
// mark that is not a placeholder.
func (s *Store) q(query string) string { return s.dialect.rebind(query) }

// scanner is a row to read: *sql.Row and *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

// one reads exactly one row outside a transaction; no row is module.ErrNotFound.
func (s *Store) one(ctx context.Context, query string, args []any, dest ...any) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return mapError(s.read.QueryRowContext(ctx, s.q(query), args...).Scan(dest...))
}

// all calls scan for each row that query yields, outside a transaction.
func (s *Store) all(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return each(ctx, s.read, s.q(query), args, scan)
}

// exec runs one statement as a transaction of its own and says how many rows it touched.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return affected(s.write.ExecContext(ctx, s.q(query), args...))
}

// tx is a transaction with the store's dialect: the same helpers as Store, inside.
type tx struct {
	inner   *sql.Tx
	dialect dialect
}

// tx runs fn in a transaction that is committed when fn returns nil and rolled back otherwise. On SQLite it is BEGIN
// IMMEDIATE on the one writing connection: transactions follow each other. On PostgreSQL it is READ COMMITTED, and
// rows that fn decides on are locked by appending forUpdate to the query. After a deadlock, and after errStale, fn is run again, so it
// must keep nothing from a run that failed. fn must not call methods of Store: on SQLite that would wait for itself.
func (s *Store) tx(ctx context.Context, fn func(*tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := s.once(ctx, fn)
		if err == nil || attempt == retries || !isRetryable(err) {
			return mapError(err)
		}
	}
}

// view runs fn in a transaction that reads one state of the database and writes nothing. On SQLite it runs beside
// the writer. fn must not call methods of Store.
func (s *Store) view(ctx context.Context, fn func(*tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	options := &sql.TxOptions{ReadOnly: true}
	if s.dialect == postgres {
		options.Isolation = sql.LevelRepeatableRead
	}
	inner, err := s.read.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer inner.Rollback() // nothing was written
	return mapError(fn(&tx{inner: inner, dialect: s.dialect}))
}

// once runs fn in one transaction and returns the driver's error as it is.
func (s *Store) once(ctx context.Context, fn func(*tx) error) error {
	inner, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := fn(&tx{inner: inner, dialect: s.dialect}); err != nil {
		if rerr := inner.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, rerr)
		}
		return err
	}
	return inner.Commit()
}

// one reads exactly one row; no row is module.ErrNotFound.
func (t *tx) one(ctx context.Context, query string, args []any, dest ...any) error {
	return mapError(t.inner.QueryRowContext(ctx, t.dialect.rebind(query), args...).Scan(dest...))
}

// all calls scan for each row that query yields. scan must not use the transaction: its connection is busy.
func (t *tx) all(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	return each(ctx, t.inner, t.dialect.rebind(query), args, scan)
}

// exec runs one statement and says how many rows it touched.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return affected(t.inner.ExecContext(ctx, t.dialect.rebind(query), args...))
}

// forUpdate is the clause that locks the selected rows until the end of the transaction; empty on SQLite, where the
// transaction holds the whole database already.
func (t *tx) forUpdate() string {
	if t.dialect == postgres {
		return " FOR UPDATE"
	}
	return ""
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func each(ctx context.Context, db querier, query string, args []any, scan func(scanner) error) error {
	rows, err := db.QueryContext(ctx, query, args...)
	return eachRow(rows, err, scan)
}

// eachRow takes what a query returned.
func eachRow(rows *sql.Rows, err error, scan func(scanner) error) error {
	if err != nil {
		return mapError(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return mapError(err)
		}
	}
	return mapError(rows.Err())
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, mapError(err)
	}
	n, err := res.RowsAffected()
	return n, mapError(err)
}

// millis is how a time is stored: unix milliseconds, UTC. The zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMillis reads a stored time back; 0 is the zero time.
func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// flag is how a boolean is stored: 0 or 1.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
