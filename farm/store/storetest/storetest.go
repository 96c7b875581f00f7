// Package storetest gives tests real databases: a SQLite file, and a PostgreSQL server of its own in a temporary
// folder. Tests import it, the product never does.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver of database/sql

	"github.com/modfarm/modfarm/farm/store"
)

// startTimeout is how long a server may take until it answers.
const startTimeout = time.Minute

// ErrMissing means that the machine has no PostgreSQL server program.
var ErrMissing = errors.New("no PostgreSQL server is installed (Debian package postgresql)")

// Servers are what a test binary starts once, in TestMain. The zero value starts nothing until Start.
type Servers struct {
	postgres *exec.Cmd
	dir      string
	port     int
	missing  error
	next     atomic.Int64
}

// Start starts PostgreSQL, where the machine has it. Tests that need it are skipped where it has not, and fail when
// the environment says CI=true.
func Start(ctx context.Context) (*Servers, error) {
	s := &Servers{}
	err := s.startPostgres(ctx)
	if errors.Is(err, ErrMissing) {
		s.missing, err = err, nil
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Stop ends the server and removes its folder.
func (s *Servers) Stop() error {
	var errs error
	if s.postgres != nil && s.postgres.Process != nil {
		errs = errors.Join(errs, s.postgres.Process.Signal(quit))
		_ = s.postgres.Wait() // it was told to quit at once and says so
	}
	if s.dir != "" {
		errs = errors.Join(errs, os.RemoveAll(s.dir))
	}
	return errs
}

// Dialects are the names that Open takes.
func Dialects() []string { return []string{"sqlite", "postgres"} }

// Open opens a new, empty store of the dialect for one test.
func (s *Servers) Open(tb testing.TB, dialect string) *store.Store {
	tb.Helper()
	return Reopen(tb, s.DSN(tb, dialect))
}

// Reopen opens the store that a DSN names, until the test ends.
func Reopen(tb testing.TB, dsn string) *store.Store {
	tb.Helper()
	st, err := store.Open(tb.Context(), dsn)
	if err != nil {
		tb.Fatalf("open store: %v", err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Errorf("close store: %v", err)
		}
	})
	return st
}

// DSN names a new, empty database of the dialect for one test.
func (s *Servers) DSN(tb testing.TB, dialect string) string {
	tb.Helper()
	if dialect == "sqlite" {
		return filepath.Join(tb.TempDir(), "farm.db")
	}
	if s.missing != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatal(s.missing)
		}
		tb.Skip(s.missing)
	}
	dsn, err := s.Database(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return dsn
}

// Database makes a new, empty PostgreSQL database and names it.
func (s *Servers) Database(ctx context.Context) (dsn string, err error) {
	if s.missing != nil {
		return "", s.missing
	}
	name := "test" + strconv.FormatInt(s.next.Add(1), 10)
	admin, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return "", err
	}
	defer admin.Close()
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return s.url(name), nil
}

func (s *Servers) url(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

func (s *Servers) startPostgres(ctx context.Context) error {
	bin, err := findPostgres()
	if err != nil {
		return err
	}
	// Not below a folder of the test: the server runs as another user where tests run as root.
	if s.dir, err = os.MkdirTemp("", "modfarm-pg-"); err != nil {
		return err
	}
	if err := handOver(s.dir); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-sync")
	initdb.Dir = s.dir
	asServerUser(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	s.postgres = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+s.dir, "-c", "fsync=off", "-c", "max_connections=300",
		"-c", "deadlock_timeout=100ms")
	s.postgres.Dir = s.dir
	asServerUser(s.postgres)
	var said strings.Builder
	s.postgres.Stderr = &said
	if err := s.postgres.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	if err := s.awaitPostgres(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, said.String())
	}
	return nil
}

// awaitPostgres asks until the server answers.
func (s *Servers) awaitPostgres(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-ticker.C:
		}
	}
}

// findPostgres names the folder of the server's programs; distributions keep it out of PATH.
func findPostgres() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	return filepath.Dir(slices.Max(found)), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
