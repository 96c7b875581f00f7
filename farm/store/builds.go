package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

var _ farm.Store = (*Store)(nil)

const buildColumns = `id, org_id, module_id, version, repo, ref, commit_sha, workdir, distro, publish, manifest, settings,
	requested_by, token, resolve_after, resolve_tries, created_at, ended_at, had_token, no_cache, asked_publish, fail_fast`

// buildColumnCount is how many buildColumns are.
const buildColumnCount = 22

// AddBuild implements farm.Builds. The row of the module and version is locked while match decides.
func (s *Store) AddBuild(ctx context.Context, rec *farm.Record, match func([]*farm.Record) string) (*farm.Record, bool, error) {
	got, added := rec, true
	err := s.tx(ctx, func(t *tx) error {
		got, added = rec, true
		b := rec.Build
		if b.Version.IsZero() { // a module may have thousands of these, and none is another's
			return t.insertBuild(ctx, rec)
		}
		_, err := t.exec(ctx, `INSERT INTO submissions (module_id, version, touched_at) VALUES (?, ?, ?)
			ON CONFLICT (module_id, version) DO UPDATE SET touched_at = excluded.touched_at`,
			b.Module.String(), b.Version.String(), millis(b.CreatedAt))
		if err != nil {
			return err
		}
		same, err := t.records(ctx, farm.BuildFilter{Module: b.Module, Version: b.Version})
		if err != nil {
			return err
		}
		if id := match(same); id != "" {
			for _, r := range same {
				if r.Build.ID == id {
					got, added = r, false
					return nil
				}
			}
		}
		return t.insertBuild(ctx, rec)
	})
	return got, added, err
}

func (t *tx) insertBuild(ctx context.Context, rec *farm.Record) error {
	values, err := buildValues(rec)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `INSERT INTO builds (`+buildColumns+`) VALUES (`+marks(buildColumnCount)+`)`, values...); err != nil {
		return err
	}
	for _, j := range rec.Jobs {
		values, err := jobValues(j)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO jobs (`+jobColumns+`) VALUES (`+marks(jobColumnCount)+`)`, values...); err != nil {
			return err
		}
	}
	return nil
}

// Record implements farm.Builds.
func (s *Store) Record(ctx context.Context, buildID string) (*farm.Record, error) {
	recs, err := s.Records(ctx, farm.BuildFilter{BuildID: buildID, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(recs) == 0 {
		return nil, fmt.Errorf("%w: no build %s", module.ErrNotFound, buildID)
	}
	return recs[0], nil
}

// Records implements farm.Builds. Builds and jobs are read in one transaction, so that they fit together.
func (s *Store) Records(ctx context.Context, filter farm.BuildFilter) ([]*farm.Record, error) {
	var recs []*farm.Record
	err := s.view(ctx, func(t *tx) error {
		var err error
		recs, err = t.records(ctx, filter)
		return err
	})
	return recs, err
}

func (t *tx) records(ctx context.Context, filter farm.BuildFilter) ([]*farm.Record, error) {
	where, args := `1 = 1`, []any{}
	narrow := func(column, value string) {
		if value != "" {
			where += ` AND ` + column + ` = ?`
			args = append(args, value)
		}
	}
	narrow("org_id", filter.OrgID)
	narrow("version", filter.Version.String())
	narrow("id", filter.BuildID)
	if !filter.Module.IsZero() {
		narrow("module_id", filter.Module.String())
	}
	limit := filter.Limit
	if limit <= 0 {
		limit = 100
	}
	args = append(args, limit)
	return t.selectBuilds(ctx, where+` ORDER BY created_at DESC, id DESC LIMIT ?`, args, "")
}

// selectBuilds reads builds by a condition, with their jobs. lock is appended to the query of the builds.
func (t *tx) selectBuilds(ctx context.Context, where string, args []any, lock string) ([]*farm.Record, error) {
	var recs []*farm.Record
	err := t.all(ctx, `SELECT `+buildColumns+` FROM builds WHERE `+where+lock, args, func(row scanner) error {
		rec, err := scanBuild(row)
		recs = append(recs, rec)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		err := t.all(ctx, `SELECT `+jobColumns+` FROM jobs WHERE build_id = ? ORDER BY platform`, []any{rec.Build.ID},
			func(row scanner) error {
				j, err := scanJob(row)
				rec.Jobs = append(rec.Jobs, j)
				return err
			})
		if err != nil {
			return nil, err
		}
	}
	return recs, nil
}

// Update implements farm.Builds. The build's row is locked, those of its jobs are not: a claim, which takes a queued
// job without its build, would pass over jobs whose siblings are being written. Instead a job is written only if it
// is still as it was read, and otherwise everything is done again.
func (s *Store) Update(ctx context.Context, buildID string, fn func(*farm.Record) error) error {
	return s.tx(ctx, func(t *tx) error {
		recs, err := t.selectBuilds(ctx, `id = ?`, []any{buildID}, t.forUpdate())
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			return fmt.Errorf("%w: no build %s", module.ErrNotFound, buildID)
		}
		rec := recs[0]
		before, err := snapshot(rec)
		if err != nil {
			return err
		}
		if err := fn(rec); err != nil {
			return err
		}
		return t.saveBuild(ctx, rec, before)
	})
}

// saveBuild writes the rows of a build that changed.
func (t *tx) saveBuild(ctx context.Context, rec *farm.Record, before rows) error {
	after, err := snapshot(rec)
	if err != nil {
		return err
	}
	if changed(before.build, after.build) {
		_, err := t.exec(ctx, `UPDATE builds SET (`+buildColumns+`) = (`+marks(buildColumnCount)+`) WHERE id = ?`,
			append(after.build, rec.Build.ID)...)
		if err != nil {
			return err
		}
	}
	for i, j := range rec.Jobs {
		if changed(before.jobs[i], after.jobs[i]) {
			if err := t.saveJob(ctx, j, before.jobs[i]); err != nil {
				return err
			}
		}
		if err := t.appendLog(ctx, j); err != nil {
			return err
		}
	}
	return t.rememberFailed(ctx, rec)
}

func (t *tx) rememberFailed(ctx context.Context, rec *farm.Record) error {
	for _, failed := range rec.NewFailed {
		_, err := t.exec(ctx, `INSERT INTO failed_strategies (module_id, platform, strategy, failed_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (module_id, platform, strategy) DO UPDATE SET failed_at = excluded.failed_at`,
			rec.Build.Module.String(), failed.Platform.String(), string(failed.Strategy), millis(failed.At))
		if err != nil {
			return err
		}
	}
	rec.NewFailed = nil
	return nil
}

// rows are the stored values of a build and its jobs, to find what changed.
type rows struct {
	build []any
	jobs  [][]any
}

func snapshot(rec *farm.Record) (rows, error) {
	build, err := buildValues(rec)
	if err != nil {
		return rows{}, err
	}
	r := rows{build: build}
	for _, j := range rec.Jobs {
		values, err := jobValues(j)
		if err != nil {
			return rows{}, err
		}
		r.jobs = append(r.jobs, values)
	}
	return r, nil
}

func changed(before, after []any) bool {
	for i := range before {
		if b, ok := before[i].([]byte); ok {
			a, _ := after[i].([]byte)
			if (a == nil) != (b == nil) || string(a) != string(b) {
				return true
			}
			continue
		}
		if before[i] != after[i] {
			return true
		}
	}
	return false
}

func buildValues(rec *farm.Record) ([]any, error) {
	b := rec.Build
	manifest, err := jsonText(b.Manifest, b.Manifest != nil)
	if err != nil {
		return nil, fmt.Errorf("meta.json of build %s: %w", b.ID, err)
	}
	settings, err := jsonText(b.Settings, b.Settings != nil)
	if err != nil {
		return nil, fmt.Errorf("settings of build %s: %w", b.ID, err)
	}
	return []any{
		b.ID, b.OrgID, b.Module.String(), b.Version.String(), b.Repo, b.Ref, b.Commit, b.Workdir, b.Distro, string(b.Publish),
		manifest, settings, b.RequestedBy, rec.Token, millis(rec.ResolveAfter), int64(rec.ResolveTries),
		millis(b.CreatedAt), millis(b.EndedAt), flag(rec.HadToken), flag(b.NoCache), string(b.AskedPublish), flag(b.FailFast),
	}, nil
}

func scanBuild(row scanner) (*farm.Record, error) {
	var (
		rec                            farm.Record
		id, version, publish, asked    string
		manifest, settings             *string
		resolveAfter, createdAt, ended int64
		hadToken, noCache, failFast    int64
		b                              = &rec.Build
	)
	err := row.Scan(&b.ID, &b.OrgID, &id, &version, &b.Repo, &b.Ref, &b.Commit, &b.Workdir, &b.Distro, &publish,
		&manifest, &settings, &b.RequestedBy, &rec.Token, &resolveAfter, &rec.ResolveTries, &createdAt, &ended, &hadToken, &noCache,
		&asked, &failFast)
	if err != nil {
		return nil, err
	}
	if err := b.Module.UnmarshalText([]byte(id)); err != nil {
		return nil, fmt.Errorf("build %s: %w", b.ID, err)
	}
	if err := b.Version.UnmarshalText([]byte(version)); err != nil {
		return nil, fmt.Errorf("build %s: %w", b.ID, err)
	}
	b.Publish, rec.HadToken, b.NoCache = module.Publish(publish), hadToken != 0, noCache != 0
	b.AskedPublish, b.FailFast = module.Publish(asked), failFast != 0
	b.CreatedAt, b.EndedAt, rec.ResolveAfter = fromMillis(createdAt), fromMillis(ended), fromMillis(resolveAfter)
	if manifest != nil {
		b.Manifest = &module.Manifest{}
		if err := json.Unmarshal([]byte(*manifest), b.Manifest); err != nil {
			return nil, fmt.Errorf("stored meta.json of build %s: %w", b.ID, err)
		}
	}
	if settings != nil {
		b.Settings = &module.Settings{}
		if err := json.Unmarshal([]byte(*settings), b.Settings); err != nil {
			return nil, fmt.Errorf("stored settings of build %s: %w", b.ID, err)
		}
	}
	return &rec, nil
}
