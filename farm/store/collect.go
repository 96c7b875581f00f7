package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

// HeldDigests returns the digests of archives that are staged by jobs which have not ended, and of source that is or may
// be built.
func (s *Store) HeldDigests(ctx context.Context) ([]string, error) {
	var digests []string
	err := s.all(ctx, `SELECT release FROM jobs WHERE state IN ('resolving', 'running', 'publishing') AND release IS NOT NULL
		UNION ALL SELECT release FROM jobs WHERE state = 'waiting' AND release IS NOT NULL`, nil, func(row scanner) error {
		var text string
		if err := row.Scan(&text); err != nil {
			return err
		}
		var release module.Release
		if err := json.Unmarshal([]byte(text), &release); err != nil {
			return fmt.Errorf("stored release of a job: %w", err)
		}
		digests = append(digests, release.SHA256)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.all(ctx, `SELECT commit_sha FROM builds WHERE repo = '' AND ended_at = 0 UNION SELECT sha256 FROM source_packages`, nil,
		func(row scanner) error {
			var digest string
			err := row.Scan(&digest)
			digests = append(digests, digest)
			return err
		})
	return digests, err
}

// unneeded is what makes a blob one that a collector may claim.
const unneeded = `marked_at = 0 AND received_at < ? AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.sha256 = blobs.sha256)`

// uploadedSince are the digests of source whose builds ended lately. It names no blob, so that it is read once.
const uploadedSince = `SELECT commit_sha FROM builds WHERE repo = '' AND ended_at >= ?`

// UnneededBlobs returns digests that no release names, that did not come lately and that no build may be retried of.
func (s *Store) UnneededBlobs(ctx context.Context, before time.Time, limit int) ([]string, error) {
	var digests []string
	err := s.all(ctx, "SELECT sha256 FROM blobs WHERE "+unneeded+" AND sha256 NOT IN ("+uploadedSince+") ORDER BY received_at LIMIT ?",
		[]any{millis(before), millis(before), limit}, func(row scanner) error {
			var digest string
			err := row.Scan(&digest)
			digests = append(digests, digest)
			return err
		})
	return digests, err
}

// MarkBlob claims a blob for collection. It holds the row before it looks at the releases: somebody who publishes
// holds it, too, and the second statement sees what they did.
func (s *Store) MarkBlob(ctx context.Context, sha256 string, before, at time.Time) (bool, error) {
	marked := false
	err := s.tx(ctx, func(t *tx) error {
		marked = false
		_, _, err := scanBlob(func(dest ...any) error { return t.one(ctx, selectBlob+t.forUpdate(), []any{sha256}, dest...) })
		if errors.Is(err, module.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, "UPDATE blobs SET marked_at = ? WHERE sha256 = ? AND "+unneeded, millis(at), sha256, millis(before))
		marked = n == 1
		return err
	})
	return marked, err
}

// MarkedBlobs returns blobs that were claimed.
func (s *Store) MarkedBlobs(ctx context.Context, limit int) ([]registry.Blob, error) {
	var blobs []registry.Blob
	err := s.all(ctx, "SELECT "+blobColumns+" FROM blobs WHERE marked_at <> 0 LIMIT ?", []any{limit}, func(row scanner) error {
		b, _, err := scanBlob(row.Scan)
		blobs = append(blobs, b)
		return err
	})
	return blobs, err
}

// DeleteBlob removes the row of a claimed blob.
func (s *Store) DeleteBlob(ctx context.Context, b registry.Blob) error {
	_, err := s.exec(ctx, "DELETE FROM blobs WHERE sha256 = ? AND object_key = ? AND marked_at <> 0", b.SHA256, b.Key)
	return err
}

// KeyInUse reports whether a row names a key of the backend.
func (s *Store) KeyInUse(ctx context.Context, key string) (bool, error) {
	var n int64
	err := s.one(ctx, `SELECT (SELECT COUNT(*) FROM blobs WHERE object_key = ?) + (SELECT COUNT(*) FROM uploads WHERE object_key = ?)`,
		[]any{key, key}, &n)
	return n > 0, err
}
