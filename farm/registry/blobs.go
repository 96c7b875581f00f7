package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Blob is the row of one stored archive.
type Blob struct {
	// SHA256 is the digest of the bytes in lower-case hex and names the row.
	SHA256 string
	// Key names the bytes in the backend. It is an upload id, because a
	// stream's digest is known only at its end.
	Key string
	// Size is in bytes.
	Size int64
	// CRC32C is the Castagnoli checksum that machines ask for.
	CRC32C uint32
	// TarSHA256 is the digest of the uncompressed tar stream in lower-case hex.
	TarSHA256 string
	// CreatedAt is when the bytes first came, and ReceivedAt when they last
	// came, in UTC. A collector must let the time since ReceivedAt pass before
	// it takes a blob that no release names.
	CreatedAt, ReceivedAt time.Time
}

// Blobs keeps bytes under keys of its own making. Full or unreachable backends
// wrap module.ErrUnavailable, unknown keys module.ErrNotFound.
type Blobs interface {
	// Create begins an upload; nothing can be opened before its Commit.
	Create(ctx context.Context) (Upload, error)
	// Resume goes on with an upload that was left before its Commit.
	Resume(ctx context.Context, key string) (Upload, error)
	// Open returns the bytes of a key. The caller closes the Object.
	Open(ctx context.Context, key string) (Object, error)
	// Delete removes the bytes of a key, also those of an upload that was left; an
	// unknown key is no error.
	Delete(ctx context.Context, key string) error
	// Keys yields the keys of all objects and uploads that were last written before
	// a time, in no special order, until yield returns an error, which it returns.
	Keys(ctx context.Context, before time.Time, yield func(key string) error) error
}

// Upload takes the bytes of one object. Every Upload ends in Commit, Abort or
// Leave; each of them does nothing behind another, so that it may be deferred.
type Upload interface {
	// Write appends. ReadAt reads what was written, also while Write runs.
	io.Writer
	io.ReaderAt
	// Key is what Resume, and after Commit Open, know the bytes by.
	Key() string
	// Size is how many bytes were there when the upload was created or resumed.
	Size() int64
	// Flush makes what was written so far durable; it may run beside Write.
	Flush() error
	// Commit makes the bytes durable and lets Open find them. When it fails nothing
	// is left but what Abort removes.
	Commit(ctx context.Context) error
	// Abort removes what was written.
	Abort() error
	// Leave keeps what was written for Resume.
	Leave() error
}

// Object is stored bytes, opened for reading.
type Object struct {
	// Content is an *os.File when the bytes are in a folder: hand it to
	// http.ServeContent as it is, so that the kernel sends the file.
	Content io.ReadSeekCloser
	// Size is in bytes.
	Size int64
	// ModTime is when the bytes were stored.
	ModTime time.Time
}

// Close closes Content.
func (o Object) Close() error { return o.Content.Close() }

// Open returns the bytes of a digest. One that is not stored wraps
// module.ErrNotFound. It checks no visibility: find the release first.
func (r *Registry) Open(ctx context.Context, sha256 string) (Object, error) {
	blob, err := r.Store.Blob(ctx, sha256)
	if err != nil {
		return Object{}, fmt.Errorf("archive %s: %w", sha256, err)
	}
	object, err := r.Blobs.Open(ctx, blob.Key)
	if errors.Is(err, module.ErrNotFound) {
		r.log().ErrorContext(ctx, "stored bytes are gone", "sha256", sha256, "key", blob.Key)
		return Object{}, fmt.Errorf("%w: the bytes of archive %s are gone from the farm's blobs: have its operator restore them, or upload the same archive again", module.ErrUnavailable, sha256)
	}
	if err != nil {
		return Object{}, fmt.Errorf("archive %s: %w", sha256, err)
	}
	return object, nil
}
