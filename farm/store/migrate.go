package store

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrateTries is how often SQLite is migrated again after an error. It has no lock for it: of two processes that
// start together one finds that the other made its tables meanwhile, and is done when it looks again.
const migrateTries = 5

// migrate brings the schema up to date. On PostgreSQL a session lock lets one node at a time do it.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("embedded migrations: %w", err)
	}
	kind := goose.DialectSQLite3
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger())}
	if s.dialect == postgres {
		kind, files = goose.DialectPostgres, postgresFiles{files}
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return fmt.Errorf("migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(kind, s.write, files, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	for try := 1; ; try++ {
		_, err := provider.Up(ctx)
		if err == nil {
			return nil
		}
		if s.dialect == postgres || try == migrateTries || ctx.Err() != nil {
			return fmt.Errorf("bring the database schema up to date: %w", err)
		}
	}
}

// postgresFiles serves the migrations with the one word that differs between the dialects replaced: BLOB is BYTEA.
// Everything else is written so that both understand it (BIGINT, TEXT, INTEGER, ON CONFLICT, partial indexes).
type postgresFiles struct{ fs.FS }

// Open opens a migration, translated.
func (p postgresFiles) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return f, err
	}
	text, err := fs.ReadFile(p.FS, name)
	if err != nil {
		return nil, err
	}
	return &translated{File: f, Reader: bytes.NewReader(bytes.ReplaceAll(text, []byte(" BLOB"), []byte(" BYTEA")))}, nil
}

type translated struct {
	fs.File
	*bytes.Reader
}

// Read reads the translated text, not the file's own.
func (t *translated) Read(p []byte) (int, error) { return t.Reader.Read(p) }
