package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// Pending is the row of an upload that can be interrupted and resumed.
type Pending struct {
	// ID is a UUID, and names the upload to its sender.
	ID string
	// OrgID and ModuleKey own it: nobody else may touch it.
	OrgID, ModuleKey string
	// JobID is the job that a worker sends it for under a lease; empty otherwise.
	JobID string
	// Release is what the archive is to become.
	Release module.Release
	// Lenient is archive.Expect's LenientEntrypoint.
	Lenient bool
	// Key names the bytes in the backend.
	Key string
	// Size and SHA256 are what the sender says of the archive.
	Size   int64
	SHA256 string
	// State is that of the digests over the bytes that are durable.
	State []byte
	// Answer is what the sender was told when the upload had ended; empty before.
	Answer []byte
	// CreatedAt and TouchedAt are in UTC. An upload that nobody touches is removed
	// when UploadGrace has passed.
	CreatedAt, TouchedAt time.Time
}

// UploadStore keeps the rows of uploads. Unknown ids wrap module.ErrNotFound.
type UploadStore interface {
	// PutUpload stores a new row.
	PutUpload(ctx context.Context, p Pending) error
	// Upload returns a row.
	Upload(ctx context.Context, id string) (Pending, error)
	// UploadsOf returns the uploads for a module that claim a digest.
	UploadsOf(ctx context.Context, moduleKey, sha256 string) ([]Pending, error)
	// TouchUpload stores p's State, Answer and TouchedAt when the row was last
	// touched at before; else somebody else goes on with the upload, and it wraps
	// module.ErrConflict.
	TouchUpload(ctx context.Context, p Pending, before time.Time) error
	// DeleteUpload removes a row; an unknown one is no error.
	DeleteUpload(ctx context.Context, id string) error
	// UploadsBefore returns at most limit rows that were last touched before a time.
	UploadsBefore(ctx context.Context, before time.Time, limit int) ([]Pending, error)
}

// BeginUpload makes room for an archive whose OrgID, ModuleKey, Release, Size and
// SHA256 are set, or finds the upload of the same archive for the same purpose that
// was interrupted. It returns the row and how many bytes are there. It checks no
// rights: the caller does.
func (r *Registry) BeginUpload(ctx context.Context, p Pending) (Pending, int64, error) {
	if err := r.checkAnnounced(p); err != nil {
		return Pending{}, 0, err
	}
	known, err := r.Store.UploadsOf(ctx, p.ModuleKey, p.SHA256)
	if err != nil {
		return Pending{}, 0, fmt.Errorf("begin upload: %w", err)
	}
	for _, k := range known {
		if len(k.Answer) > 0 || k.JobID != p.JobID || k.Size != p.Size || k.Lenient != p.Lenient ||
			k.Release.Version != p.Release.Version || slotOf(k.Release) != slotOf(p.Release) {
			continue
		}
		at, err := r.UploadOffset(ctx, k)
		if errors.Is(err, module.ErrNotFound) {
			continue // its bytes are gone, and soon its row will be
		}
		return k, at, err
	}
	upload, err := r.Blobs.Create(ctx)
	if err != nil {
		return Pending{}, 0, fmt.Errorf("begin upload: %w", err)
	}
	now := r.now()
	p.ID, p.Key, p.CreatedAt, p.TouchedAt = uuid.NewString(), upload.Key(), now, now
	if err := errors.Join(upload.Leave(), r.Store.PutUpload(ctx, p)); err != nil {
		return Pending{}, 0, fmt.Errorf("begin upload: %w", errors.Join(err, r.Blobs.Delete(ctx, p.Key)))
	}
	return p, 0, nil
}

func (r *Registry) checkAnnounced(p Pending) error {
	var faults module.Faults
	if p.Size <= 0 {
		faults = append(faults, module.Fault{Path: "size", Value: fmt.Sprint(p.Size), Problem: "not the size of an archive", Advice: "say how many bytes it has"})
	}
	if len(p.SHA256) != 64 {
		faults = append(faults, module.Fault{Path: "sha256", Value: p.SHA256, Problem: "not a SHA-256 in hex", Advice: "send what sha256sum prints"})
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if limit := r.limit(); p.Size > limit {
		return archive.TooLarge(p.Size, limit)
	}
	return nil
}

// limit is the largest archive that the registry takes, in bytes.
func (r *Registry) limit() int64 {
	if r.Limits.Compressed > 0 {
		return r.Limits.Compressed
	}
	return archive.MaxCompressed
}

// UploadOffset is how many bytes of an upload are there, and so where it goes on.
func (r *Registry) UploadOffset(ctx context.Context, p Pending) (int64, error) {
	if len(p.Answer) > 0 {
		return p.Size, nil
	}
	if at, ok := r.sessions.length(p.ID); ok {
		return at, nil
	}
	upload, err := r.Blobs.Resume(ctx, p.Key)
	if err != nil {
		return 0, fmt.Errorf("upload %s: %w", p.ID, err)
	}
	return upload.Size(), upload.Leave()
}

// ContinueUpload appends body to an upload, at the offset where it stands, and
// returns where it stands then. What came before the body broke off stays, durable.
// interrupt makes a Read of body return; it is called when another connection goes
// on with the upload, because this one is most likely dead. An archive that is
// refused meanwhile is removed with its upload.
func (r *Registry) ContinueUpload(ctx context.Context, id string, offset int64, body io.Reader, expect archive.Expect, interrupt func()) (int64, error) {
	s, err := r.enter(ctx, id, interrupt)
	if err != nil {
		return 0, err
	}
	defer s.leave()
	if err := r.open(ctx, s, expect); err != nil {
		return 0, err
	}
	if at := s.intake.length(); offset != at {
		return at, fmt.Errorf("%w: upload %s has %d bytes and goes on there, not at %d", module.ErrConflict, id, at, offset)
	}
	err = s.intake.take(ctx, &announced{body: body, left: s.row.Size - offset, size: s.row.Size})
	if errors.Is(err, module.ErrInvalid) {
		return 0, errors.Join(err, r.remove(ctx, s))
	}
	at := s.intake.length()
	return at, errors.Join(err, r.note(ctx, s))
}

// announced is a body that must not be longer than what was said.
type announced struct {
	body       io.Reader
	left, size int64
}

// Read reads on; the first byte too many is an error.
func (a *announced) Read(p []byte) (int, error) {
	n, err := a.body.Read(p[:min(int64(len(p)), a.left+1)])
	if a.left -= int64(n); a.left < 0 {
		return 0, module.Fault{Path: "size", Problem: fmt.Sprintf("more bytes came than the %d that were announced", a.size), Advice: "begin a new upload with the archive's size"}
	}
	return n, err
}

// FinishUpload ends an upload whose bytes are all there. It waits for the rest of the
// inspection, but not longer than wait: then the report is nil, progress says how
// many bytes were inspected, and it is to be called again. An archive that is refused,
// and one with another digest than was announced, is removed with its upload.
// Otherwise the bytes are kept as by Receive, until CompleteUpload.
func (r *Registry) FinishUpload(ctx context.Context, id string, expect archive.Expect, wait time.Duration) (report *archive.Report, progress int64, err error) {
	s, err := r.enter(ctx, id, func() {})
	if err != nil {
		return nil, 0, err
	}
	defer s.leave()
	if s.report != nil {
		return s.report, s.row.Size, nil
	}
	if err := r.open(ctx, s, expect); err != nil {
		return nil, 0, err
	}
	in := s.intake
	if at := in.length(); at != s.row.Size {
		return nil, 0, fmt.Errorf("%w: upload %s has %d of %d bytes: send the rest", module.ErrConflict, id, at, s.row.Size)
	}
	if got := in.digest.hex(); got != s.row.SHA256 {
		err := module.Fault{Path: "sha256", Value: s.row.SHA256, Problem: "not the digest of the bytes that came, which is " + got, Advice: "send the archive again"}
		return nil, 0, errors.Join(err, r.remove(ctx, s))
	}
	in.finish()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-in.inspected:
	case <-timer.C:
		return nil, in.progress(), nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	report, err = in.conclusion()
	if errors.Is(err, module.ErrInvalid) {
		return nil, 0, errors.Join(err, r.remove(ctx, s))
	}
	if err == nil {
		err = r.keep(ctx, in.upload, report)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("keep archive %s: %w", short(s.row.SHA256), err), r.release(s))
	}
	s.report = report
	in.stop()
	return report, s.row.Size, in.upload.Abort() // of bytes that were there already
}

// CompleteUpload notes what a sender was told at the end, so that one who did not
// hear it may ask again.
func (r *Registry) CompleteUpload(ctx context.Context, id string, answer []byte) error {
	s, err := r.enter(ctx, id, func() {})
	if err != nil {
		return err
	}
	defer s.leave()
	s.row.Answer = answer
	if err := r.touch(ctx, s); err != nil {
		return err
	}
	return r.release(s)
}

// AbandonUpload removes an upload and its bytes.
func (r *Registry) AbandonUpload(ctx context.Context, id string) error {
	s, err := r.enter(ctx, id, func() {})
	if errors.Is(err, module.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.leave()
	return r.remove(ctx, s)
}

// Upload returns the row of an upload. It checks no rights: the caller does.
func (r *Registry) Upload(ctx context.Context, id string) (Pending, error) {
	p, err := r.Store.Upload(ctx, id)
	if err != nil {
		return Pending{}, fmt.Errorf("upload %s: %w", id, err)
	}
	return p, nil
}
