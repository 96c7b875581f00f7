package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// soakFor is the environment variable that makes the soak longer, as 3m.
const soakFor = "SOAK"

// soak publishes, downloads, deletes and collects at once.
type soak struct {
	*farm
	t *testing.T
	m registry.Module

	mu        sync.Mutex
	published map[string]string // digest by version
	next      int
	counts    struct{ published, resumed, downloaded, deleted, collected atomic.Int64 }
}

// TestSoak holds, for some seconds or for as long as SOAK says, that a version that is
// published can be downloaded with its own bytes until it is deleted, whatever is
// collected meanwhile, and that in the end nothing is left but what is published.
func TestSoak(t *testing.T) {
	t.Parallel()
	long := 2 * time.Second
	if text := os.Getenv(soakFor); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, dialect := range storetest.Dialects() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, servers.Open(t, dialect))
			s := &soak{farm: f, t: t, m: f.module(t, "soaked"), published: map[string]string{}}
			s.run(long)
		})
	}
}

func (s *soak) run(long time.Duration) {
	// On a busy machine it takes longer until something of everything has happened.
	ctx, stop := context.WithTimeout(s.t.Context(), long+time.Minute)
	defer stop()
	began := time.Now()
	var wg sync.WaitGroup
	loop := func(step func() error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := step(); err != nil {
					s.t.Error(err)
					stop()
				}
				if time.Since(began) > long && s.enough() {
					stop()
				}
			}
		})
	}
	loop(s.publishOne)
	loop(s.publishOne)
	loop(s.resumeOne)
	loop(s.downloadOne)
	loop(s.downloadOne)
	loop(s.deleteOne)
	loop(s.collectOne)
	wg.Wait()
	s.settle()
	c := &s.counts
	s.t.Logf("published %d, %d of them resumed; downloaded %d, deleted %d, collected %d", c.published.Load(),
		c.resumed.Load(), c.downloaded.Load(), c.deleted.Load(), c.collected.Load())
	if !s.enough() {
		s.t.Error("not everything was soaked")
	}
}

// enough says that something of everything has happened.
func (s *soak) enough() bool {
	c := &s.counts
	return c.published.Load() > 0 && c.resumed.Load() > 0 && c.downloaded.Load() > 0 && c.deleted.Load() > 0 && c.collected.Load() > 0
}

// archive is one of few, so that the same bytes come, go and come again.
func (s *soak) archive() []byte {
	body := packedText(s.t, strings.Repeat(fmt.Sprintf("archive %d ", rand.IntN(12)), 20_000))
	return body
}

func (s *soak) version() (string, module.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	text := fmt.Sprintf("1.0.%d", s.next)
	v, err := module.ParseVersion(text)
	if err != nil {
		s.t.Error(err)
	}
	return text, v
}

func (s *soak) publishOne() error {
	body := s.archive()
	report, err := s.Receive(s.t.Context(), bytes.NewReader(body), expect())
	if err != nil {
		return err
	}
	return s.release(report.SHA256)
}

// release publishes bytes that have come. Without a grace period they may have been
// collected already; then that is said, and nothing is published.
func (s *soak) release(digest string) error {
	text, v := s.version()
	err := s.Publish(s.t.Context(), []module.Release{{ID: s.m.ID(), Version: v, Platform: linuxAMD64(), SHA256: digest}})
	switch {
	case errors.Is(err, module.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published[text] = digest
	s.counts.published.Add(1)
	return nil
}

// resumeOne uploads in two pieces, the first of which breaks off.
func (s *soak) resumeOne() error {
	body := s.archive()
	_, v := s.version()
	p, at, err := s.BeginUpload(s.t.Context(), registry.Pending{
		OrgID: s.m.OrgID, ModuleKey: s.m.Key, Size: int64(len(body)), SHA256: digest(body),
		Release: module.Release{ID: s.m.ID(), Version: v, Platform: linuxAMD64()},
	})
	if err != nil {
		return err
	}
	broken := errors.New("broken")
	if at, err = s.send(s.t.Context(), p, at, &failing{bytes.NewReader(body[:len(body)/2]), broken}); !errors.Is(err, broken) {
		return s.tolerated(err)
	}
	if _, err = s.send(s.t.Context(), p, at, bytes.NewReader(body[at:])); err != nil {
		return s.tolerated(err)
	}
	report, _, err := s.FinishUpload(s.t.Context(), p.ID, expect(), time.Minute)
	if err != nil {
		return s.tolerated(err)
	}
	s.counts.resumed.Add(1)
	if err := s.release(report.SHA256); err != nil {
		return err
	}
	return s.tolerated(s.CompleteUpload(s.t.Context(), p.ID, []byte("done")))
}

// tolerated are uploads that the collector took for abandoned: there is no grace.
func (s *soak) tolerated(err error) error {
	if errors.Is(err, module.ErrNotFound) || errors.Is(err, module.ErrConflict) {
		return nil
	}
	return err
}

// any is a published version and its digest.
func (s *soak) any() (version, digest string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for version, digest = range s.published {
		return version, digest, true
	}
	return "", "", false
}

func (s *soak) downloadOne() error {
	version, want, ok := s.any()
	if !ok {
		return nil
	}
	err := s.download(version, want)
	s.mu.Lock()
	_, still := s.published[version]
	s.mu.Unlock()
	if err != nil && still {
		return fmt.Errorf("version %s is published and cannot be downloaded: %w", version, err)
	}
	return nil
}

func (s *soak) download(version, want string) error {
	rel, err := s.Lookup(s.t.Context(), registry.ForFarm(), registry.Query{Package: "acme/soaked", Version: version + "-linux-amd64"})
	if err != nil {
		return err
	}
	object, err := s.Open(s.t.Context(), rel.SHA256)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(object.Content)
	if err = errors.Join(err, object.Close()); err != nil {
		return err
	}
	if digest(content) != want {
		return fmt.Errorf("its bytes are %s, want %s", digest(content), want)
	}
	s.counts.downloaded.Add(1)
	return nil
}

func (s *soak) deleteOne() error {
	version, _, ok := s.any()
	if !ok {
		return nil
	}
	v, err := module.ParseVersion(version)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.published, version) // before it is gone: nobody misses it then
	s.mu.Unlock()
	_, err = s.Delete(s.t.Context(), s.m.OrgID, s.m.ID(), registry.Target{Version: v}, "the soak")
	s.counts.deleted.Add(1)
	return err
}

// collectOne collects with hardly any grace.
func (s *soak) collectOne() error {
	later := &registry.Registry{Store: s.store, Blobs: s.Blobs, Grace: time.Millisecond, UploadGrace: time.Millisecond}
	done, err := later.Collect(s.t.Context())
	s.counts.collected.Add(int64(done.Blobs))
	return err
}

// settle collects once more and holds that every published version has its bytes and
// that there are no others.
func (s *soak) settle() {
	s.t.Helper()
	s.collected(s.t, 48*time.Hour)
	want := map[string]bool{}
	for version, digest := range s.published {
		if err := s.download(version, digest); err != nil {
			s.t.Errorf("version %s: %v", version, err)
		}
		blob, err := s.store.Blob(s.t.Context(), digest)
		if err != nil {
			s.t.Error(err)
		}
		want[filepath.Join("objects", blob.Key[:2], blob.Key)] = true
	}
	for _, name := range files(s.t, s.dir) {
		if !want[name] {
			s.t.Errorf("%s is left, and nobody needs it", name)
		}
	}
}
