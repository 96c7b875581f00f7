package store

import (
	"context"
	"strings"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/registry"
)

// Exec runs a statement for a test; BLOB is spelled as the database does.
func (s *Store) Exec(ctx context.Context, query string) error {
	if s.dialect == postgres {
		query = strings.ReplaceAll(query, " BLOB", " BYTEA")
	}
	_, err := s.exec(ctx, query)
	return err
}

// Analyze does what a PostgreSQL server does by itself after some time, and SQLite never.
func (s *Store) Analyze(ctx context.Context) error {
	if s.dialect != postgres {
		return nil
	}
	return s.Exec(ctx, "ANALYZE")
}

// ExplainSearch is how the database would search.
func (s *Store) ExplainSearch(ctx context.Context, q registry.SearchQuery) (string, error) {
	query, args, err := s.searching(ctx, q)
	if err != nil {
		return "", err
	}
	return s.explain(ctx, query, args)
}

// ExplainClaim is how the database would look for the best job.
func (s *Store) ExplainClaim(ctx context.Context, want farm.Want) (string, error) {
	query, args := bestJobQuery(want)
	return s.explain(ctx, query, args)
}

func (s *Store) explain(ctx context.Context, query string, args []any) (string, error) {
	var plan strings.Builder
	explain, columns := "EXPLAIN QUERY PLAN ", 4
	if s.dialect == postgres {
		explain, columns = "EXPLAIN ", 1
	}
	err := s.all(ctx, explain+query, args, func(row scanner) error {
		line := make([]any, columns)
		for i := range line {
			line[i] = new(any)
		}
		err := row.Scan(line...)
		if text, ok := (*line[columns-1].(*any)).(string); ok {
			plan.WriteString(text + "\n")
		}
		return err
	})
	return plan.String(), err
}
