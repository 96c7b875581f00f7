package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

const (
	blobColumns = "sha256, object_key, size, crc32c, tar_sha256, created_at, received_at, marked_at"
	selectBlob  = "SELECT " + blobColumns + " FROM blobs WHERE sha256 = ?"
)

// scanBlob reads a blob's row; marked tells that a collector has claimed it.
func scanBlob(one func(dest ...any) error) (blob registry.Blob, marked bool, err error) {
	var crc, created, received, markedAt int64
	err = one(&blob.SHA256, &blob.Key, &blob.Size, &crc, &blob.TarSHA256, &created, &received, &markedAt)
	blob.CRC32C = uint32(crc)
	blob.CreatedAt, blob.ReceivedAt = fromMillis(created), fromMillis(received)
	return blob, markedAt != 0, err
}

// Blob returns the row of a digest.
func (s *Store) Blob(ctx context.Context, sha256 string) (registry.Blob, error) {
	blob, _, err := scanBlob(func(dest ...any) error { return s.one(ctx, selectBlob, []any{sha256}, dest...) })
	return blob, err
}

// RenewBlob notes that a digest was received again, unless a collector has claimed it.
func (s *Store) RenewBlob(ctx context.Context, sha256 string, at time.Time) (registry.Blob, error) {
	n, err := s.exec(ctx, "UPDATE blobs SET received_at = ? WHERE sha256 = ? AND marked_at = 0", millis(at), sha256)
	if err != nil {
		return registry.Blob{}, err
	}
	if n == 0 {
		return registry.Blob{}, fmt.Errorf("%w: no such blob", module.ErrNotFound)
	}
	return s.Blob(ctx, sha256)
}

// PutBlob stores the row of a new digest, or notes that a known one was received again. The insert comes first, so
// that two nodes that receive the same bytes wait for each other there.
func (s *Store) PutBlob(ctx context.Context, b registry.Blob) (registry.Blob, error) {
	for {
		stored, err := s.putBlob(ctx, b)
		if !errors.Is(err, module.ErrNotFound) {
			return stored, err
		}
		// A collector deleted the row between the two statements: now there is room for ours.
	}
}

func (s *Store) putBlob(ctx context.Context, b registry.Blob) (registry.Blob, error) {
	var stored registry.Blob
	err := s.tx(ctx, func(t *tx) error {
		stored = b
		n, err := t.exec(ctx, `INSERT INTO blobs (sha256, object_key, size, crc32c, tar_sha256, created_at, received_at, marked_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (sha256) DO NOTHING`,
			b.SHA256, b.Key, b.Size, int64(b.CRC32C), b.TarSHA256, millis(b.CreatedAt), millis(b.ReceivedAt))
		if err != nil || n == 1 {
			return err
		}
		stored, err = t.receivedAgain(ctx, b)
		return err
	})
	return stored, err
}

// receivedAgain renews a blob's grace period. A row that a collector claimed gets the new bytes: those it had are as
// good as deleted.
func (t *tx) receivedAgain(ctx context.Context, b registry.Blob) (registry.Blob, error) {
	stored, marked, err := scanBlob(func(dest ...any) error { return t.one(ctx, selectBlob+t.forUpdate(), []any{b.SHA256}, dest...) })
	if err != nil {
		return registry.Blob{}, err
	}
	stored.ReceivedAt = b.ReceivedAt
	if marked {
		stored.Key = b.Key
	}
	_, err = t.exec(ctx, "UPDATE blobs SET object_key = ?, received_at = ?, marked_at = 0 WHERE sha256 = ?",
		stored.Key, millis(stored.ReceivedAt), b.SHA256)
	return stored, err
}

// RekeyBlob points a digest from one object to another, unless it points elsewhere by now.
func (s *Store) RekeyBlob(ctx context.Context, sha256, from, to string) (bool, error) {
	n, err := s.exec(ctx, "UPDATE blobs SET object_key = ? WHERE sha256 = ? AND object_key = ?", to, sha256, from)
	return n == 1, err
}

// holdBlobs reads and holds the rows of digests, in one order for everybody so that two transactions never wait for
// each other. Rows that a collector has claimed do not count.
func (t *tx) holdBlobs(ctx context.Context, digests []string) (map[string]registry.Blob, error) {
	held := map[string]registry.Blob{}
	for _, digest := range slices.Compact(slices.Sorted(slices.Values(digests))) {
		blob, marked, err := scanBlob(func(dest ...any) error { return t.one(ctx, selectBlob+t.forUpdate(), []any{digest}, dest...) })
		switch {
		case errors.Is(err, module.ErrNotFound) || (err == nil && marked):
			continue
		case err != nil:
			return nil, err
		}
		held[digest] = blob
	}
	return held, nil
}
