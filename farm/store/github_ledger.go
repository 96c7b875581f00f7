package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/module"
)

const selectTag = `SELECT t.repo_id, r.full_name, t.name, t.object, t.commit_sha, t.state, t.reason, t.moved, t.builds, t.source,
		t.seen_at, t.changed_at, t.next_at, t.tries
	FROM github_tags t
	JOIN github_repositories r ON r.id = t.repo_id
	JOIN github_installations i ON i.id = r.installation_id`

func scanTag(row scanner) (github.Tag, error) {
	var t github.Tag
	var builds string
	var moved int
	var seen, changed, next int64
	err := row.Scan(&t.RepoID, &t.Repository, &t.Name, &t.Object, &t.Commit, &t.State, &t.Reason, &moved, &builds, &t.Source,
		&seen, &changed, &next, &t.Tries)
	if err != nil {
		return t, err
	}
	t.Moved, t.SeenAt, t.ChangedAt, t.NextAt = moved != 0, fromMillis(seen), fromMillis(changed), fromMillis(next)
	if err := json.Unmarshal([]byte(builds), &t.Builds); err != nil {
		return t, fmt.Errorf("stored tag: %w", err)
	}
	return t, nil
}

// UpdateTag reads a tag, calls fn, and stores what fn made of it, in one transaction.
func (s *Store) UpdateTag(ctx context.Context, repoID int64, name string, fn func(*github.Tag) error) error {
	return s.tx(ctx, func(t *tx) error {
		// The row to lock: two that see a new tag at once follow each other.
		if _, err := t.exec(ctx, "UPDATE github_repositories SET swept_at = swept_at WHERE id = ?", repoID); err != nil {
			return err
		}
		tag, err := github.Tag{RepoID: repoID, Name: name}, error(nil)
		err = t.all(ctx, selectTag+" WHERE t.repo_id = ? AND t.name = ?", []any{repoID, name}, func(row scanner) error {
			tag, err = scanTag(row)
			return err
		})
		if err != nil && !errors.Is(err, module.ErrNotFound) {
			return err
		}
		before := tag.State
		if err := fn(&tag); err != nil {
			return err
		}
		if tag.State != before || tag.ChangedAt.IsZero() {
			tag.ChangedAt = time.Now().UTC()
		}
		if tag.Builds == nil {
			tag.Builds = []github.TagBuild{}
		}
		builds, err := json.Marshal(tag.Builds)
		if err != nil {
			return fmt.Errorf("the builds of a tag: %w", err)
		}
		_, err = t.exec(ctx, `INSERT INTO github_tags (repo_id, name, object, commit_sha, state, reason, moved, builds, source, seen_at, changed_at, next_at, tries)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (repo_id, name) DO UPDATE SET object = excluded.object, commit_sha = excluded.commit_sha, state = excluded.state,
				reason = excluded.reason, moved = excluded.moved, builds = excluded.builds, source = excluded.source, seen_at = excluded.seen_at,
				changed_at = excluded.changed_at, next_at = excluded.next_at, tries = excluded.tries`,
			repoID, name, tag.Object, tag.Commit, string(tag.State), tag.Reason, flag(tag.Moved), string(builds), tag.Source,
			millis(tag.SeenAt), millis(tag.ChangedAt), millis(tag.NextAt), tag.Tries)
		return err
	})
}

// DueTags returns those to look at, the longest due first.
func (s *Store) DueTags(ctx context.Context, now time.Time, limit int) ([]github.Tag, error) {
	return s.tags(ctx, " WHERE t.next_at > 0 AND t.next_at <= ? ORDER BY t.next_at LIMIT ?", millis(now), limit)
}

// defaultTags is how many tags are listed when nobody says.
const defaultTags = 100

// Tags returns those that match, the last changed first. A limit below zero is none.
func (s *Store) Tags(ctx context.Context, f github.TagFilter) ([]github.Tag, error) {
	w := where{}
	if f.RepoID != 0 {
		w.and("t.repo_id = ?", f.RepoID)
	}
	if f.Repository != "" {
		w.and("lower(r.full_name) = lower(?)", f.Repository)
	}
	if f.OrgID != "" {
		w.and(ofOrg, f.OrgID, f.OrgID, f.OrgID)
	}
	if f.State != "" {
		w.and("t.state = ?", string(f.State))
	}
	query := w.clause() + " ORDER BY t.changed_at DESC, t.name"
	args := w.args
	if f.Limit >= 0 {
		if f.Limit == 0 {
			f.Limit = defaultTags
		}
		query, args = query+" LIMIT ?", append(args, f.Limit)
	}
	return s.tags(ctx, query, args...)
}

func (s *Store) tags(ctx context.Context, query string, args ...any) (list []github.Tag, err error) {
	err = s.all(ctx, selectTag+query, args, func(row scanner) error {
		t, err := scanTag(row)
		list = append(list, t)
		return err
	})
	return list, err
}

// SaveCheck stores the check of a job.
func (s *Store) SaveCheck(ctx context.Context, c github.Check) error {
	_, err := s.exec(ctx, `INSERT INTO github_checks (job_id, build_id, repo_id, commit_sha, run_id, told, done, next_at, tries)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (job_id) DO UPDATE SET run_id = excluded.run_id, told = excluded.told, done = excluded.done,
			next_at = excluded.next_at, tries = excluded.tries`,
		c.JobID, c.BuildID, c.RepoID, c.Commit, c.RunID, c.Told, flag(c.Done), millis(c.NextAt), c.Tries)
	return err
}

// DueChecks returns those to look at, the longest due first.
func (s *Store) DueChecks(ctx context.Context, now time.Time, limit int) ([]github.Check, error) {
	return s.checks(ctx, " WHERE done = 0 AND next_at <= ? ORDER BY next_at LIMIT ?", millis(now), limit)
}

// Checks returns those of a job, or of a commit, of a repository.
func (s *Store) Checks(ctx context.Context, jobID string, repoID int64, commit string) ([]github.Check, error) {
	if jobID != "" {
		return s.checks(ctx, " WHERE job_id = ? AND repo_id = ?", jobID, repoID)
	}
	return s.checks(ctx, " WHERE repo_id = ? AND commit_sha = ?", repoID, commit)
}

func (s *Store) checks(ctx context.Context, query string, args ...any) (list []github.Check, err error) {
	err = s.all(ctx, "SELECT job_id, build_id, repo_id, commit_sha, run_id, told, done, next_at, tries FROM github_checks"+query, args, func(row scanner) error {
		var c github.Check
		var done int
		var next int64
		err := row.Scan(&c.JobID, &c.BuildID, &c.RepoID, &c.Commit, &c.RunID, &c.Told, &done, &next, &c.Tries)
		c.Done, c.NextAt = done != 0, fromMillis(next)
		list = append(list, c)
		return err
	})
	return list, err
}
