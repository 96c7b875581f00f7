package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// leastStrayGrace is how old objects must be that no row names. Their row is
	// stored right behind them, and nothing holds them until then.
	leastStrayGrace = time.Hour
	// collectEvery is how often unneeded bytes are looked for.
	collectEvery = time.Hour
	// collectBatch is how many rows are looked at in one query.
	collectBatch = 500
)

// CollectStore keeps what a collection of bytes needs to know.
type CollectStore interface {
	// HeldDigests returns the digests of archives that jobs which have not ended
	// have staged, of uploaded source that builds which have not ended are of, and
	// of source packages.
	HeldDigests(ctx context.Context) ([]string, error)
	// UnneededBlobs returns digests, at most limit and those received longest ago
	// first, that no release names, that were last received before a time and that
	// are not the source of a build which ended behind it and may be retried.
	UnneededBlobs(ctx context.Context, before time.Time, limit int) ([]string, error)
	// MarkBlob claims a blob for collection, if it still is as UnneededBlobs found
	// it, and reports whether it did. Publishing takes no claimed blob.
	MarkBlob(ctx context.Context, sha256 string, before, at time.Time) (bool, error)
	// MarkedBlobs returns at most limit claimed blobs.
	MarkedBlobs(ctx context.Context, limit int) ([]Blob, error)
	// DeleteBlob removes the row of a claimed blob, unless the same bytes came
	// again meanwhile.
	DeleteBlob(ctx context.Context, b Blob) error
	// KeyInUse reports whether any row, of a blob or an upload, names a key.
	KeyInUse(ctx context.Context, key string) (bool, error)
}

// Collected counts what a collection removed.
type Collected struct {
	// Blobs were named by no release, Uploads were abandoned, Strays had no row.
	Blobs, Uploads, Strays int
	// Bytes is the size of the blobs.
	Bytes int64
}

// Run collects until ctx ends, and then leaves open uploads so that the next start
// goes on with them. A round that fails is told to the log, and the next one mends it.
func (r *Registry) Run(ctx context.Context) error {
	every := r.EveryCollection
	if every == 0 {
		every = collectEvery
	}
	round := time.NewTicker(every)
	defer round.Stop()
	idle := time.NewTicker(idleSession / 4)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.closeSessions(time.Now().Add(time.Hour))
		case <-idle.C:
			if err := r.closeSessions(time.Now().Add(-idleSession)); err != nil {
				r.log().WarnContext(ctx, "idle uploads were not closed", "error", err)
			}
		case <-round.C:
			done, err := r.Collect(ctx)
			if err != nil && ctx.Err() == nil {
				r.log().WarnContext(ctx, "unneeded bytes were not all removed", "error", err)
			}
			if done != (Collected{}) {
				r.log().InfoContext(ctx, "unneeded bytes were removed",
					"blobs", done.Blobs, "bytes", done.Bytes, "uploads", done.Uploads, "strays", done.Strays)
			}
		}
	}
}

// Collect removes, once, what nobody needs: blobs that no release names, uploads that
// nobody goes on with, and objects without a row, each when its grace period has
// passed. A blob's row is claimed first, then its object is deleted, then the row;
// what a crash leaves in between, the next round finishes. Several may run at once.
func (r *Registry) Collect(ctx context.Context) (Collected, error) {
	var done Collected
	err := errors.Join(
		r.collectUploads(ctx, &done),
		r.collectBlobs(ctx, &done),
		r.collectStrays(ctx, &done),
	)
	if err != nil {
		return done, fmt.Errorf("collect: %w", err)
	}
	return done, nil
}

func (r *Registry) collectBlobs(ctx context.Context, done *Collected) error {
	now := r.now()
	if err := r.Store.ForgetSourcePackages(ctx, now.Add(-packageAge)); err != nil {
		return err
	}
	held, err := r.Store.HeldDigests(ctx)
	if err != nil {
		return err
	}
	for _, digest := range held { // they are published or built later, some of them much later
		if _, err := r.Store.RenewBlob(ctx, digest, now); err != nil && !errors.Is(err, module.ErrNotFound) {
			return err
		}
	}
	before := now.Add(-orDay(r.Grace))
	for {
		digests, err := r.Store.UnneededBlobs(ctx, before, collectBatch)
		if err != nil {
			return err
		}
		for _, digest := range digests {
			if _, err := r.Store.MarkBlob(ctx, digest, before, now); err != nil {
				return err
			}
		}
		if err := r.deleteMarked(ctx, done); err != nil || len(digests) < collectBatch {
			return err
		}
	}
}

func (r *Registry) deleteMarked(ctx context.Context, done *Collected) error {
	for {
		blobs, err := r.Store.MarkedBlobs(ctx, collectBatch)
		if err != nil {
			return err
		}
		for _, b := range blobs {
			if err := r.Blobs.Delete(ctx, b.Key); err != nil {
				return err
			}
			if err := r.Store.DeleteBlob(ctx, b); err != nil {
				return err
			}
			done.Blobs++
			done.Bytes += b.Size
		}
		if len(blobs) < collectBatch {
			return nil
		}
	}
}

func (r *Registry) collectUploads(ctx context.Context, done *Collected) error {
	before := r.now().Add(-orDay(r.UploadGrace))
	for {
		rows, err := r.Store.UploadsBefore(ctx, before, collectBatch)
		if err != nil {
			return err
		}
		for _, p := range rows {
			if err := r.abandonIdle(ctx, p); err != nil {
				return err
			}
			done.Uploads++
		}
		if len(rows) < collectBatch {
			return nil
		}
	}
}

// abandonIdle removes an upload. One that has ended has no bytes of its own any more.
func (r *Registry) abandonIdle(ctx context.Context, p Pending) error {
	if len(p.Answer) > 0 {
		return r.Store.DeleteUpload(ctx, p.ID)
	}
	return r.AbandonUpload(ctx, p.ID)
}

func (r *Registry) collectStrays(ctx context.Context, done *Collected) error {
	grace := max(orDay(r.Grace), orDay(r.UploadGrace), leastStrayGrace)
	return r.Blobs.Keys(ctx, r.now().Add(-grace), func(key string) error {
		used, err := r.Store.KeyInUse(ctx, key)
		if err != nil || used {
			return err
		}
		if err := r.Blobs.Delete(ctx, key); err != nil {
			return err
		}
		done.Strays++
		return nil
	})
}

// orDay is a grace period; zero is a day: time to publish what was built or uploaded today.
func orDay(d time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return 24 * time.Hour
}
