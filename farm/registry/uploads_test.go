package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// begin begins the upload of an archive for version 1.0.0 of a new module.
func (f *farm) begin(t *testing.T, body []byte) registry.Pending {
	t.Helper()
	m, err := f.Module(t.Context(), registry.ForFarm(), module.ID{Namespace: "acme", Name: "widget"})
	if errors.Is(err, module.ErrNotFound) {
		m, err = f.module(t, "widget"), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := module.ParseVersion("1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := f.BeginUpload(t.Context(), registry.Pending{
		OrgID: m.OrgID, ModuleKey: m.Key, Size: int64(len(body)), SHA256: digest(body),
		Release: module.Release{ID: m.ID(), Version: v, Platform: linuxAMD64()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// again is the farm after a restart: all it knows is on the disk.
func (f *farm) again() *farm {
	next := *f
	next.Registry = &registry.Registry{Store: f.store, Blobs: f.Blobs}
	return &next
}

func (f *farm) send(ctx context.Context, p registry.Pending, offset int64, body io.Reader) (int64, error) {
	return f.ContinueUpload(ctx, p.ID, offset, body, expect(), func() {})
}

func (f *farm) finish(t *testing.T, p registry.Pending) (*archive.Report, error) {
	t.Helper()
	report, _, err := f.FinishUpload(t.Context(), p.ID, expect(), time.Minute)
	return report, err
}

// An upload whose connection breaks, and whose farm is started anew, goes on where
// it was, with the bytes behind the kept state of the digests read again.
func TestUploadResumes(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, uncompressed := packed(t, 3<<20)
			p := f.begin(t, body)
			broken := errors.New("connection reset")
			var at int64
			for i, next := range []int{1, 300_000, 300_001, 2 << 20} {
				got, err := f.send(t.Context(), p, at, &failing{bytes.NewReader(body[at:next]), broken})
				if !errors.Is(err, broken) || got != int64(next) {
					t.Fatalf("broken off at %d: %d, %v", next, got, err)
				}
				at = got
				if i%2 == 1 {
					f = f.again()
				}
				same, offset, err := f.BeginUpload(t.Context(), p)
				if err != nil || same.ID != p.ID || offset != at {
					t.Fatalf("begun again: %s at %d, %v; want %s at %d", same.ID, offset, err, p.ID, at)
				}
			}
			if at, err := f.send(t.Context(), p, at, bytes.NewReader(body[at:])); err != nil || at != p.Size {
				t.Fatalf("the rest: %d, %v", at, err)
			}
			f = f.again()
			report, err := f.finish(t, p)
			if err != nil {
				t.Fatal(err)
			}
			if report.SHA256 != digest(body) || report.TarSHA256 != digest(uncompressed) || report.Size != p.Size {
				t.Errorf("report %+v does not fit the archive", report)
			}
			if err := f.CompleteUpload(t.Context(), p.ID, []byte("done")); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.content(t, report.SHA256), body) {
				t.Error("the stored bytes are others")
			}
			if row, err := f.again().Upload(t.Context(), p.ID); err != nil || string(row.Answer) != "done" {
				t.Errorf("row %+v, %v", row, err)
			}
		})
	}
}

// The digests go on from their kept state: what lies before it is not read again.
func TestUploadKeepsTheStateOfItsDigests(t *testing.T) {
	t.Parallel()
	f := newFarm(t, servers.Open(t, "sqlite"))
	body, _ := packed(t, 1<<20)
	p := f.begin(t, body)
	if _, err := f.send(t.Context(), p, 0, bytes.NewReader(body[:500_000])); err != nil {
		t.Fatal(err)
	}
	f = f.again()
	file := filepath.Join(f.dir, files(t, f.dir)[0])
	if err := os.WriteFile(file, make([]byte, 500_000), 0o600); err != nil { // as nobody ever does
		t.Fatal(err)
	}
	if _, err := f.send(t.Context(), p, 500_000, bytes.NewReader(body[500_000:])); err != nil && !errors.Is(err, module.ErrInvalid) {
		t.Fatal(err)
	}
	// The digest is that of the bytes that came, and the inspection, which reads the disk, notices.
	if _, err := f.finish(t, p); err == nil || strings.Contains(err.Error(), "digest") {
		t.Errorf("%v, want what the inspection says of the disk", err)
	}
}

func TestUploadRefuses(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 1<<20)
			p := f.begin(t, body)
			if _, err := f.send(t.Context(), p, 7, bytes.NewReader(body[7:])); !errors.Is(err, module.ErrConflict) {
				t.Errorf("a wrong offset: %v, want ErrConflict", err)
			}
			if _, err := f.finish(t, p); !errors.Is(err, module.ErrConflict) {
				t.Errorf("finished too early: %v, want ErrConflict", err)
			}
			_, err := f.send(t.Context(), p, 0, bytes.NewReader(append(bytes.Clone(body), 1)))
			if !errors.Is(err, module.ErrInvalid) {
				t.Errorf("one byte too many: %v, want ErrInvalid", err)
			}
			f.gone(t, p)

			other := bytes.Clone(body)
			other[len(other)/2]++
			p = f.begin(t, body)
			if _, err := f.send(t.Context(), p, 0, bytes.NewReader(other)); err == nil {
				_, err = f.finish(t, p)
				if !errors.Is(err, module.ErrInvalid) {
					t.Errorf("another digest: %v, want ErrInvalid", err)
				}
				mustContain(t, err, digest(body), digest(other))
			}
			f.gone(t, p)

			text := []byte(strings.Repeat("no archive ", 100_000))
			p = f.begin(t, text)
			if _, err := f.send(t.Context(), p, 0, bytes.NewReader(text)); err == nil {
				if _, err = f.finish(t, p); !errors.Is(err, module.ErrInvalid) {
					t.Errorf("no archive: %v, want ErrInvalid", err)
				}
			}
			f.gone(t, p)

			f.Limits.Compressed = 1000
			_, _, err = f.BeginUpload(t.Context(), p)
			if !errors.Is(err, module.ErrInvalid) {
				t.Errorf("too large: %v, want ErrInvalid", err)
			}
			mustContain(t, err, "1.1 MB", "1000 bytes")
		})
	}
}

// gone holds that nothing of an upload is left.
func (f *farm) gone(t *testing.T, p registry.Pending) {
	t.Helper()
	if _, err := f.Upload(t.Context(), p.ID); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("the row is still there: %v", err)
	}
	if got := files(t, f.dir); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

// A connection that hangs is interrupted by one that goes on with its upload.
func TestUploadIsTakenOver(t *testing.T) {
	t.Parallel()
	f := newFarm(t, servers.Open(t, "sqlite"))
	body, _ := packed(t, 1<<20)
	p := f.begin(t, body)
	dead, sender := io.Pipe()
	cut := errors.New("interrupted")
	hung := make(chan error, 1)
	go func() {
		_, err := f.ContinueUpload(context.WithoutCancel(t.Context()), p.ID, 0, dead, expect(), func() { _ = sender.CloseWithError(cut) })
		hung <- err
	}()
	if _, err := sender.Write(body[:400_000]); err != nil {
		t.Fatal(err)
	}
	var at int64
	for try := 0; ; try++ { // the first bytes may not have been written yet
		next, err := f.send(t.Context(), p, at, bytes.NewReader(body[at:]))
		if err == nil {
			break
		}
		if !errors.Is(err, module.ErrConflict) || try > 3 {
			t.Fatal(err)
		}
		at = next
	}
	if err := <-hung; !errors.Is(err, cut) {
		t.Errorf("the hanging one: %v", err)
	}
	if _, err := f.finish(t, p); err != nil {
		t.Error(err)
	}
}

// Whoever asks for the end of an upload while it is inspected is told how far that is.
func TestFinishingTakesItsTime(t *testing.T) {
	t.Parallel()
	f := newFarm(t, servers.Open(t, "sqlite"))
	body, _ := packed(t, 8<<20)
	p := f.begin(t, body)
	if _, err := f.send(t.Context(), p, 0, bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	f = f.again() // the inspection begins anew, and cannot be done at once
	report, progress, err := f.FinishUpload(t.Context(), p.ID, expect(), 0)
	if err != nil || progress > p.Size {
		t.Errorf("%+v after %d bytes, %v", report, progress, err)
	}
	if report, err := f.finish(t, p); err != nil || report.Size != p.Size {
		t.Errorf("%+v, %v", report, err)
	}
}

// Run leaves open uploads to the next start when it ends.
func TestRunLeavesUploads(t *testing.T) {
	t.Parallel()
	f := newFarm(t, servers.Open(t, "sqlite"))
	body, _ := packed(t, 1<<20)
	p := f.begin(t, body)
	if _, err := f.send(t.Context(), p, 0, bytes.NewReader(body[:1000])); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
	before, err := f.Upload(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.again().send(t.Context(), p, 1000, bytes.NewReader(body[1000:])); err != nil {
		t.Fatal(err)
	}
	// The first process notices that another one went on.
	if _, err := f.finish(t, p); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before.SHA256, digest(body)); diff != "" {
		t.Error(diff)
	}
}
