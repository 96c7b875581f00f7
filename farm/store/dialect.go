package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver of database/sql
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/modfarm/modfarm/module"
)

// dialect is which of the two databases a store speaks to.
type dialect int

const (
	sqliteDB dialect = iota
	postgres
)

// rebind turns `?` placeholders into `$1`, `$2`, … for PostgreSQL.
func (d dialect) rebind(query string) string {
	if d != postgres || !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 16)
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

func connect(ctx context.Context, dsn string) (*Store, error) {
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		return connectPostgres(ctx, dsn)
	}
	path := strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite://"), "sqlite:")
	if path == "" || strings.Contains(path, "://") {
		return nil, fmt.Errorf("%w: database %q is neither the path of a file nor a postgres:// URL; "+
			"give a path such as ./data/modfarm.db or postgres://user:password@host/name", module.ErrInvalid, redact(dsn))
	}
	return connectSQLite(ctx, path)
}

func connectPostgres(ctx context.Context, dsn string) (*Store, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: database URL %s is not understood; use postgres://user:password@host:5432/name",
			module.ErrInvalid, redact(dsn))
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(10)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(30 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL at %s does not answer; check that it runs, and its user and password: %w",
			redact(dsn), err), db.Close())
	}
	return &Store{read: db, write: db, dialect: postgres}, nil
}

// connectSQLite opens path twice: one connection that writes, so that writers queue in the process and not in the
// file's lock, and a pool that reads beside it (WAL). synchronous FULL: what was answered survives a power cut.
func connectSQLite(ctx context.Context, path string) (*Store, error) {
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	const pragmas = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragmas
	write, err := sql.Open("sqlite", name+"&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	// The inner pages of the largest indexes fit into the cache of each reading connection (8 MiB, used as needed): with
	// two million releases SQLite's own 2 MiB make every lookup half as slow again.
	read, err := sql.Open("sqlite", name+"&_pragma=query_only(1)&_pragma=cache_size(-8192)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	read.SetMaxIdleConns(max(4, runtime.NumCPU()))
	s := &Store{read: read, write: write, dialect: sqliteDB}
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

// prepareFile makes the folder and the file with modes that keep other users of the machine out.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("database folder cannot be made; name another one, or create it with write permission: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("database file cannot be written; give its folder write permission or name another path: %w", err)
	}
	return f.Close()
}

// redact hides the password of a database URL.
func redact(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "(unreadable URL)"
	}
	return u.Redacted()
}

// mapError turns what callers ask for into the sentinels of module: no rows is ErrNotFound, a broken uniqueness rule
// is ErrConflict. Errors of other kinds, and those that carry a sentinel already, pass as they are.
func mapError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: no such row", module.ErrNotFound)
	case isUniqueViolation(err) && !errors.Is(err, module.ErrConflict):
		return fmt.Errorf("%w: %w", module.ErrConflict, err)
	}
	return err
}

func isUniqueViolation(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "23505"
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// isRetryable says whether a transaction was given up that would work when run again.
func isRetryable(err error) bool {
	if errors.Is(err, errStale) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}
