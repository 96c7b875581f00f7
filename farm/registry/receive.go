package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// cleanUpTimeout bounds the tidying after a failure, which goes on when the
// request that failed is gone.
const cleanUpTimeout = 30 * time.Second

// Receive stores an archive that streams in. It reads body once, inspecting the
// bytes while it writes them, and returns the inspection's report; Publish takes
// the digest from there. A refused archive is an *archive.Refused. After any
// error, and when ctx ends, nothing stays in the backend. Bytes that are stored
// already are not stored twice.
func (r *Registry) Receive(ctx context.Context, body io.Reader, expect archive.Expect) (*archive.Report, error) {
	upload, err := r.Blobs.Create(ctx)
	if err != nil {
		return nil, fmt.Errorf("receive archive: %w", err)
	}
	in := newIntake(ctx, upload, newDigest(), r.within(expect))
	defer func() {
		in.stop()
		// Nobody is left to be told; a collector removes what is left.
		if err := upload.Abort(); err != nil {
			r.log().WarnContext(ctx, "upload was not cleaned up", "error", err)
		}
	}()
	if err := in.take(ctx, body); err != nil {
		return nil, fmt.Errorf("receive archive: %w", err)
	}
	in.finish()
	select {
	case <-in.inspected:
	case <-ctx.Done():
		return nil, fmt.Errorf("receive archive: %w", ctx.Err())
	}
	report, err := in.conclusion()
	if err != nil {
		return nil, fmt.Errorf("receive archive: %w", err)
	}
	if err := r.keep(ctx, upload, report); err != nil {
		return nil, fmt.Errorf("keep archive %s: %w", short(report.SHA256), err)
	}
	return report, nil
}

// within puts the farm's limits on an archive, where the caller set none.
func (r *Registry) within(expect archive.Expect) archive.Expect {
	if expect.Limits == (archive.Limits{}) {
		expect.Limits = r.Limits
	}
	return expect
}

// keep makes inspected bytes durable and records them. The row is the last step:
// whoever finds it finds the bytes.
func (r *Registry) keep(ctx context.Context, upload Upload, report *archive.Report) error {
	now := r.now()
	if known, err := r.renew(ctx, report.SHA256, now); err != nil || known {
		return err
	}
	if err := upload.Commit(ctx); err != nil {
		return err
	}
	key := upload.Key()
	stored, err := r.Store.PutBlob(ctx, Blob{
		SHA256: report.SHA256, Key: key, Size: report.Size, CRC32C: report.CRC32C,
		TarSHA256: report.TarSHA256, CreatedAt: now, ReceivedAt: now,
	})
	if err != nil {
		r.drop(ctx, report.SHA256, key)
		return err
	}
	if stored.Key == key {
		return nil
	}
	return r.merge(ctx, stored, key)
}

// renew reports whether a digest is stored with its bytes, and starts its grace
// period anew, so that no collector takes it before it is published.
func (r *Registry) renew(ctx context.Context, sha256 string, now time.Time) (bool, error) {
	blob, err := r.Store.RenewBlob(ctx, sha256, now)
	if errors.Is(err, module.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return r.present(ctx, blob)
}

func (r *Registry) present(ctx context.Context, blob Blob) (bool, error) {
	object, err := r.Blobs.Open(ctx, blob.Key)
	if errors.Is(err, module.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return object.Size == blob.Size, object.Close()
}

// merge settles that somebody else stored the same bytes first: theirs stay, but
// for those that are gone from the backend, which ours replace.
func (r *Registry) merge(ctx context.Context, stored Blob, key string) error {
	present, err := r.present(ctx, stored)
	if err != nil {
		r.drop(ctx, stored.SHA256, key)
		return err
	}
	if !present {
		replaced, err := r.Store.RekeyBlob(ctx, stored.SHA256, stored.Key, key)
		if err != nil {
			r.drop(ctx, stored.SHA256, key)
			return err
		}
		if replaced {
			key = stored.Key // what is left of the old bytes goes
		}
	}
	r.drop(ctx, stored.SHA256, key)
	return nil
}

// drop deletes an object that no row should name, unless one does after all: a
// commit that the database reported as failed may have happened nevertheless.
func (r *Registry) drop(ctx context.Context, sha256, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	stored, err := r.Store.Blob(ctx, sha256)
	switch {
	case err == nil && stored.Key == key:
		return
	case err == nil || errors.Is(err, module.ErrNotFound):
		err = r.Blobs.Delete(ctx, key)
	}
	if err != nil {
		r.log().WarnContext(ctx, "stored bytes that no release needs", "key", key, "sha256", sha256, "error", err)
	}
}
