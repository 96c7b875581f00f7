package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

const selectUpload = `SELECT id, org_id, module_key, job_id, release, lenient, object_key, size, sha256, hash_state, answer,
	created_at, touched_at FROM uploads `

func scanUpload(scan func(dest ...any) error) (registry.Pending, error) {
	var p registry.Pending
	var release, answer string
	var lenient, created, touched int64
	err := scan(&p.ID, &p.OrgID, &p.ModuleKey, &p.JobID, &release, &lenient, &p.Key, &p.Size, &p.SHA256, &p.State, &answer,
		&created, &touched)
	if err != nil {
		return registry.Pending{}, err
	}
	if err := json.Unmarshal([]byte(release), &p.Release); err != nil {
		return registry.Pending{}, fmt.Errorf("stored upload: %w", err)
	}
	p.Lenient, p.Answer = lenient != 0, []byte(answer)
	p.CreatedAt, p.TouchedAt = fromMillis(created), fromMillis(touched)
	return p, nil
}

// PutUpload stores the row of a new upload.
func (s *Store) PutUpload(ctx context.Context, p registry.Pending) error {
	release, err := json.Marshal(p.Release)
	if err != nil {
		return fmt.Errorf("upload's release: %w", err)
	}
	_, err = s.exec(ctx, `INSERT INTO uploads (id, org_id, module_key, job_id, release, lenient, object_key, size, sha256,
			hash_state, answer, created_at, touched_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.OrgID, p.ModuleKey, p.JobID, string(release), flag(p.Lenient), p.Key, p.Size, p.SHA256,
		p.State, string(p.Answer), millis(p.CreatedAt), millis(p.TouchedAt))
	return err
}

// Upload returns the row of an upload.
func (s *Store) Upload(ctx context.Context, id string) (registry.Pending, error) {
	return scanUpload(func(dest ...any) error { return s.one(ctx, selectUpload+"WHERE id = ?", []any{id}, dest...) })
}

// UploadsOf returns the uploads for a module that claim a digest.
func (s *Store) UploadsOf(ctx context.Context, moduleKey, sha256 string) ([]registry.Pending, error) {
	return s.uploads(ctx, "WHERE module_key = ? AND sha256 = ? ORDER BY created_at", moduleKey, sha256)
}

// UploadsBefore returns uploads that nobody touched since.
func (s *Store) UploadsBefore(ctx context.Context, before time.Time, limit int) ([]registry.Pending, error) {
	return s.uploads(ctx, "WHERE touched_at < ? ORDER BY touched_at LIMIT ?", millis(before), limit)
}

func (s *Store) uploads(ctx context.Context, where string, args ...any) ([]registry.Pending, error) {
	var list []registry.Pending
	err := s.all(ctx, selectUpload+where, args, func(row scanner) error {
		p, err := scanUpload(row.Scan)
		list = append(list, p)
		return err
	})
	return list, err
}

// TouchUpload stores how far an upload is, unless somebody else touched it since.
func (s *Store) TouchUpload(ctx context.Context, p registry.Pending, before time.Time) error {
	n, err := s.exec(ctx, "UPDATE uploads SET hash_state = ?, answer = ?, touched_at = ? WHERE id = ? AND touched_at = ?",
		p.State, string(p.Answer), millis(p.TouchedAt), p.ID, millis(before))
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: another connection goes on with this upload", module.ErrConflict)
	}
	return err
}

// DeleteUpload removes the row of an upload.
func (s *Store) DeleteUpload(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "DELETE FROM uploads WHERE id = ?", id)
	return err
}
