package registry_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// expect is what every archive of these tests is supposed to be.
func expect() archive.Expect { return archive.Expect{Entrypoint: "bin/run", Platform: linuxAMD64()} }

// packed is a tar.gz with a script and size random bytes, and its tar.
func packed(t *testing.T, size int) (archive, uncompressed []byte) {
	t.Helper()
	return packedWith(t, randomBytes(size))
}

// packedText is a tar.gz with a script and a text; the same text gives the same bytes.
func packedText(t *testing.T, text string) []byte {
	t.Helper()
	archive, _ := packedWith(t, []byte(text))
	return archive
}

func packedWith(t *testing.T, data []byte) (archive, uncompressed []byte) {
	t.Helper()
	var tarred bytes.Buffer
	w := tar.NewWriter(&tarred)
	for _, member := range []struct {
		name    string
		content []byte
	}{{"bin/run", []byte("#!/bin/sh\n")}, {"data", data}} {
		err := w.WriteHeader(&tar.Header{Name: member.name, Mode: 0o755, Size: int64(len(member.content)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write(member.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(tarred.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes(), tarred.Bytes()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// content reads back what is stored under a digest.
func (f *farm) content(t *testing.T, sha256 string) []byte {
	t.Helper()
	object, err := f.Open(t.Context(), sha256)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := object.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, ok := object.Content.(*os.File); !ok {
		t.Errorf("Content is %T: only an *os.File is sent by the kernel", object.Content)
	}
	got, err := io.ReadAll(object.Content)
	if err != nil || int64(len(got)) != object.Size {
		t.Errorf("read %d bytes of %d, error %v", len(got), object.Size, err)
	}
	return got
}

func TestReceive(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, uncompressed := packed(t, 1<<20)
			report, err := f.Receive(t.Context(), bytes.NewReader(body), expect())
			if err != nil {
				t.Fatal(err)
			}
			if report.SHA256 != digest(body) || report.TarSHA256 != digest(uncompressed) || report.Size != int64(len(body)) {
				t.Errorf("report %+v does not fit the archive", report)
			}
			if !bytes.Equal(f.content(t, report.SHA256), body) {
				t.Error("the stored bytes are others")
			}
			blob, err := f.store.Blob(t.Context(), report.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			want := registry.Blob{
				SHA256: digest(body), Key: blob.Key, Size: int64(len(body)), TarSHA256: digest(uncompressed),
				CRC32C: crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), CreatedAt: blob.CreatedAt, ReceivedAt: blob.CreatedAt,
			}
			if diff := cmp.Diff(want, blob); diff != "" || blob.CreatedAt.IsZero() {
				t.Errorf("row (-want +got):\n%s", diff)
			}
			wantFiles := []string{filepath.Join("objects", blob.Key[:2], blob.Key)}
			if diff := cmp.Diff(wantFiles, files(t, f.dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReceivingTheSameBytesStoresThemOnce(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 1000)
			for range 3 {
				if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
					t.Fatal(err)
				}
			}
			first, err := f.store.Blob(t.Context(), digest(body))
			if err != nil {
				t.Fatal(err)
			}
			if first.ReceivedAt.Before(first.CreatedAt) {
				t.Errorf("received at %v, created at %v", first.ReceivedAt, first.CreatedAt)
			}
			other, _ := packed(t, 2000)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, err := f.Receive(t.Context(), bytes.NewReader(other), expect()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if got := files(t, f.dir); len(got) != 2 {
				t.Errorf("files of two archives: %q", got)
			}
			if !bytes.Equal(f.content(t, digest(other)), other) {
				t.Error("the stored bytes are others")
			}
		})
	}
}

func TestReceiveHealsLostBytes(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 1000)
			for name, harm := range map[string]func(path string) error{
				"gone": os.Remove,
				"cut":  func(path string) error { return os.Truncate(path, 10) },
			} {
				if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
					t.Fatal(err)
				}
				if err := harm(filepath.Join(f.dir, files(t, f.dir)[0])); err != nil {
					t.Fatal(err)
				}
				if name == "gone" {
					if _, err := f.Open(t.Context(), digest(body)); !errors.Is(err, module.ErrUnavailable) {
						t.Errorf("%s: %v, want ErrUnavailable", name, err)
					}
				}
				if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if !bytes.Equal(f.content(t, digest(body)), body) {
					t.Errorf("%s: the stored bytes are others", name)
				}
				if got := files(t, f.dir); len(got) != 1 {
					t.Errorf("%s: files %q, want one", name, got)
				}
			}
			if _, err := f.Open(t.Context(), digest([]byte("never came"))); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("unknown digest: %v, want ErrNotFound", err)
			}
		})
	}
}

func TestReceiveRefuses(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, uncompressed := packed(t, 100_000)
			small := expect()
			small.Limits.Compressed = 50_000
			elsewhere := expect()
			elsewhere.Entrypoint = "bin/other"
			tests := map[string]struct {
				body   []byte
				expect archive.Expect
			}{
				"nothing":            {nil, expect()},
				"not gzip":           {uncompressed, expect()},
				"half":               {body[:len(body)/2], expect()},
				"last byte missing":  {body[:len(body)-1], expect()},
				"too large":          {body, small},
				"without entrypoint": {body, elsewhere},
			}
			for name, tt := range tests {
				_, err := f.Receive(t.Context(), bytes.NewReader(tt.body), tt.expect)
				if _, ok := errors.AsType[*archive.Refused](err); !ok || !errors.Is(err, module.ErrInvalid) {
					t.Errorf("%s: %v, want a refused archive", name, err)
				}
				if got := files(t, f.dir); len(got) != 0 {
					t.Errorf("%s left %q", name, got)
				}
			}
		})
	}
}

func TestReceiveStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	f := newFarm(t, servers.Open(t, "sqlite"))
	body, _ := packed(t, 8<<20)
	reader := bytes.NewReader(body)
	limited := expect()
	limited.Limits.Compressed = 100_000
	if _, err := f.Receive(t.Context(), reader, limited); !errors.Is(err, module.ErrInvalid) {
		t.Errorf("%v, want ErrInvalid", err)
	}
	if read := len(body) - reader.Len(); read > 2<<20 {
		t.Errorf("%d bytes were read behind a limit of 100000", read)
	}
}

func TestReceiveFromAFailingReader(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 300_000)
			broken := errors.New("connection reset")
			for _, at := range []int{0, 1, 9, 10, 600, len(body) / 2, len(body) - 1, len(body)} {
				_, err := f.Receive(t.Context(), &failing{bytes.NewReader(body[:at]), broken}, expect())
				if !errors.Is(err, broken) {
					t.Errorf("broken off at %d: %v, want the reader's error", at, err)
				}
				if got := files(t, f.dir); len(got) != 0 {
					t.Errorf("broken off at %d left %q", at, got)
				}
			}
			if _, err := f.Open(t.Context(), digest(body)); !errors.Is(err, module.ErrNotFound) {
				t.Errorf("row: %v, want ErrNotFound", err)
			}
		})
	}
}

// cancelling cancels its context after n bytes.
type cancelling struct {
	content *bytes.Reader
	left    int
	cancel  context.CancelFunc
}

func (c *cancelling) Read(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		c.cancel()
	}
	return c.content.Read(p)
}

func TestReceiveCancelled(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 300_000)
			for _, at := range []int{0, len(body) / 2, len(body)} {
				ctx, cancel := context.WithCancel(t.Context())
				_, err := f.Receive(ctx, &cancelling{bytes.NewReader(body), at, cancel}, expect())
				if !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled at %d: %v, want context.Canceled", at, err)
				}
				if got := files(t, f.dir); len(got) != 0 {
					t.Errorf("cancelled at %d left %q", at, got)
				}
				cancel()
			}
		})
	}
}

// lossy is a real store whose answer to PutBlob gets lost.
type lossy struct {
	registry.Store
	before bool // the statement never arrives
	err    error
}

func (l *lossy) PutBlob(ctx context.Context, b registry.Blob) (registry.Blob, error) {
	if !l.before {
		if _, err := l.Store.PutBlob(ctx, b); err != nil {
			return registry.Blob{}, err
		}
	}
	return registry.Blob{}, l.err
}

func TestReceiveWhenTheRowIsNotStored(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			body, _ := packed(t, 1000)
			lost := errors.New("connection lost")
			f.Store = &lossy{Store: f.store, before: true, err: lost}
			if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); !errors.Is(err, lost) {
				t.Errorf("%v, want the store's error", err)
			}
			if got := files(t, f.dir); len(got) != 0 {
				t.Errorf("without a row there are %q", got)
			}
			// When the row was stored after all, its bytes must not be deleted.
			f.Store = &lossy{Store: f.store, err: lost}
			if _, err := f.Receive(t.Context(), bytes.NewReader(body), expect()); !errors.Is(err, lost) {
				t.Errorf("%v, want the store's error", err)
			}
			if !bytes.Equal(f.content(t, digest(body)), body) {
				t.Error("the row points to other bytes")
			}
		})
	}
}

func TestPublishWhatWasReceived(t *testing.T) {
	t.Parallel()
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			m := f.module(t, "widget")
			body, _ := packed(t, 1000)
			report, err := f.Receive(t.Context(), bytes.NewReader(body), expect())
			if err != nil {
				t.Fatal(err)
			}
			f.publish(t, f.release(t, m, "1.0.0", "", func(rel *module.Release) { rel.SHA256 = report.SHA256 }))
			rel, err := f.Lookup(t.Context(), registry.ForOrg(f.acme.ID), registry.Query{Package: "acme/widget", Version: "1.0.0-linux-amd64"})
			if err != nil {
				t.Fatal(err)
			}
			if rel.Size != report.Size || rel.CRC32C != report.CRC32C || rel.TarSHA256 != report.TarSHA256 {
				t.Errorf("release %+v does not fit the report %+v", rel, report)
			}
			if !bytes.Equal(f.content(t, rel.SHA256), body) {
				t.Error("the stored bytes are others")
			}
		})
	}
}
