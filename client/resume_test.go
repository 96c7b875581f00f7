package client_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// TestFollowLogResumes follows a log through a line that breaks three times, while it grows, and gets
// every byte once.
func TestFollowLogResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, a := w.build(t, module.Version{})
	line := &cuts{down: []int64{4_000, 5_000, 50_000}}
	reader := w.client(t, line.start(t, w.farm.Addr))

	var want strings.Builder
	offset := a.Job.LogSize
	write := func(n int) {
		t.Helper()
		var text string // that does not compress, so that the line has something to break in
		for range n {
			text += rand.Text() + rand.Text() + "\n"
		}
		next, err := w.worker.AppendLog(t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: offset, Step: "build", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		offset = next
		want.WriteString(text)
	}
	write(3000)
	var once sync.Once
	half := make(chan struct{})
	ended := make(chan error, 1)
	var got strings.Builder
	go func() {
		ended <- reader.FollowLog(t.Context(), a.Job.ID, a.Job.LogSize, func(c client.LogChunk) error {
			if c.Step == "build" {
				got.Write(c.Data)
			}
			if got.Len() > 100_000 {
				once.Do(func() { close(half) })
			}
			return nil
		})
	}()
	<-half
	write(1000)
	if _, err := w.worker.Finish(t.Context(), a.Lease.LeaseRef, client.Outcome{Kind: client.OutcomeDone}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() {
		t.Errorf("%d bytes arrived, want %d", got.Len(), want.Len())
	}
	if n := line.count(); n < 2 {
		t.Errorf("the line broke %d times only", n)
	}
}

// TestFollowLogEnds holds that the caller's own error ends it, and that an unknown job is told at once.
func TestFollowLogEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, a := w.build(t, module.Version{})
	if _, err := w.worker.AppendLog(t.Context(), a.Lease.LeaseRef, client.LogChunk{Offset: a.Job.LogSize, Step: "build", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if err := w.user.FollowLog(t.Context(), a.Job.ID, 0, func(client.LogChunk) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	err := w.user.FollowLog(t.Context(), "5cf2e1c0-0000-4000-8000-000000000000", 0, func(client.LogChunk) error { return nil })
	if !errors.Is(err, module.ErrNotFound) {
		t.Errorf("unknown job: %v", err)
	}
}

// TestDownloadResumes downloads through a line that breaks twice.
func TestDownloadResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.publish(t, 2<<20)
	line := &cuts{down: []int64{700_000, 800_000}}
	c := w.client(t, line.start(t, w.farm.Addr))
	pkg, err := c.Package(t.Context(), w.id, w.version, amd64)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	var last int64
	err = c.Download(t.Context(), &got, pkg, func(done, total int64) {
		if done < last || total != int64(len(file)) {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	})
	if err != nil || !bytes.Equal(got.Bytes(), file) || last != int64(len(file)) {
		t.Errorf("%d bytes of %d, %v", got.Len(), len(file), err)
	}
	if n := line.count(); n != 2 {
		t.Errorf("the line broke %d times", n)
	}
}

// TestPutArchiveRepeats sends an archive through a line that breaks twice.
func TestPutArchiveRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, a := w.build(t, w.version)
	line := &cuts{up: []int64{300_000, 900_000}}
	worker := w.workerAt(t, line.start(t, w.farm.Addr))
	file := archive(t, 2<<20)
	got, err := worker.PutArchive(t.Context(), a.Lease.LeaseRef, module.StrategyNative, bytes.NewReader(file), nil)
	if err != nil || got.Size != int64(len(file)) {
		t.Fatalf("%+v, %v", got, err)
	}
	if n := line.count(); n != 2 {
		t.Errorf("the line broke %d times", n)
	}
	job, err := w.worker.Finish(t.Context(), a.Lease.LeaseRef, client.Outcome{Kind: client.OutcomeDone})
	if err != nil || job.State != client.JobPublished {
		t.Errorf("finished as %+v, %v", job, err)
	}
}
