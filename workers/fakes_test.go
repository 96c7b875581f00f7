package workers_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// fakeFarm is a farm in memory, with switches for what can go wrong.
type fakeFarm struct {
	mu       sync.Mutex
	changed  *sync.Cond
	jobs     map[string]*fakeJob
	waiting  []*client.Assignment
	claims   int
	isAway   bool
	draining bool              // as the last claim said
	sources  map[string][]byte // uploaded, by digest
	refusals int
}

type fakeJob struct {
	log             []byte
	shown           strings.Builder // with step names
	step            string
	steps           []string
	strategies      []string
	archive         string
	lost, cancelled bool
	finished        bool
	ended           chan client.Outcome
	assignment      *client.Assignment
}

func newFakeFarm() *fakeFarm {
	f := &fakeFarm{jobs: map[string]*fakeJob{}}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// change runs fn under the lock and wakes those who await something.
func (f *fakeFarm) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	f.changed.Broadcast()
}

func (f *fakeFarm) queue(a *client.Assignment) (id string) {
	f.change(func() {
		id = fmt.Sprintf("job-%d", len(f.jobs)+1)
		a.Job.ID = id
		a.Job.LogSize = 100 // an earlier attempt's
		a.Lease = client.Lease{LeaseRef: client.LeaseRef{JobID: id, Token: "lease-" + id}, TTL: 300 * time.Millisecond}
		f.jobs[id] = &fakeJob{log: make([]byte, 100), ended: make(chan client.Outcome, 1), assignment: a}
		f.waiting = append(f.waiting, a)
	})
	return id
}

// held finds a job for a call under a lease.
func (f *fakeFarm) held(l client.LeaseRef) (*fakeJob, error) {
	if f.isAway {
		f.refusals++
		return nil, fmt.Errorf("%w: the farm is away", module.ErrUnavailable)
	}
	j := f.jobs[l.JobID]
	if j == nil || j.lost || l.Token != "lease-"+l.JobID {
		return nil, client.ErrLeaseLost
	}
	return j, nil
}

func (f *fakeFarm) Claim(_ context.Context, w client.Worker) (a *client.Assignment, err error) {
	f.change(func() {
		f.claims++
		f.draining = w.Draining
		switch {
		case w.Draining:
		case f.isAway:
			f.refusals++
			err = fmt.Errorf("%w: the farm is away", module.ErrUnavailable)
		case w.Name == "" || len(w.Native) == 0:
			err = module.ErrInvalid
		case len(f.waiting) > 0:
			a, f.waiting = f.waiting[0], f.waiting[1:]
		}
	})
	return a, err
}

func (f *fakeFarm) Resume(_ context.Context, _ client.Worker, l client.LeaseRef) (a *client.Assignment, err error) {
	f.change(func() {
		var j *fakeJob
		if j, err = f.held(l); err != nil || j.finished {
			err = cmp.Or(err, client.ErrLeaseLost)
			return
		}
		again := *j.assignment
		again.Job.LogSize = int64(len(j.log))
		a = &again
	})
	return a, err
}

func (f *fakeFarm) Extend(_ context.Context, l client.LeaseRef, p client.Progress) (d client.Directive, err error) {
	f.change(func() {
		var j *fakeJob
		if j, err = f.held(l); err != nil {
			return
		}
		j.steps = appendNew(j.steps, p.Step)
		j.strategies = appendNew(j.strategies, string(p.Strategy))
		d = client.Directive{Cancel: j.cancelled, TTL: 300 * time.Millisecond}
	})
	return d, err
}

func appendNew(list []string, s string) []string {
	if s == "" || len(list) > 0 && list[len(list)-1] == s {
		return list
	}
	return append(list, s)
}

func (f *fakeFarm) AppendLog(_ context.Context, l client.LeaseRef, c client.LogChunk) (next int64, err error) {
	f.change(func() {
		var j *fakeJob
		if j, err = f.held(l); err != nil {
			return
		}
		size := int64(len(j.log))
		if c.Offset > size {
			err = &client.Error{Message: "a gap", LogOffset: size, Answered: true}
			return
		}
		fresh := c.Data[min(size-c.Offset, int64(len(c.Data))):]
		if c.Step != j.step {
			j.step = c.Step
			fmt.Fprintf(&j.shown, "[%s]", c.Step)
		}
		j.log = append(j.log, fresh...)
		j.shown.Write(fresh)
		next = int64(len(j.log))
	})
	return next, err
}

func (f *fakeFarm) GetSource(_ context.Context, l client.LeaseRef, digest string, w io.Writer) (err error) {
	var source []byte
	f.change(func() {
		if _, err = f.held(l); err == nil && f.sources[digest] == nil {
			err = fmt.Errorf("%w: the uploaded source is not kept any more; upload it again", module.ErrNotFound)
		}
		source = f.sources[digest]
	})
	if err == nil {
		_, err = w.Write(source)
	}
	return err
}

func (f *fakeFarm) PutArchive(
	_ context.Context, l client.LeaseRef, s module.Strategy, file io.ReadSeeker, _ func(sent, total int64),
) (a client.Archive, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return a, err
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return a, err
	}
	f.change(func() {
		var j *fakeJob
		if j, err = f.held(l); err != nil {
			return
		}
		if s == module.StrategyAuto {
			err = errors.New("no strategy")
			return
		}
		sum := sha256.Sum256(data)
		j.archive = hex.EncodeToString(sum[:])
		a = client.Archive{SHA256: j.archive, Size: int64(len(data))}
	})
	return a, err
}

func (f *fakeFarm) Finish(_ context.Context, l client.LeaseRef, o client.Outcome) (_ client.Job, err error) {
	f.change(func() {
		var j *fakeJob
		if j, err = f.held(l); err != nil || j.finished {
			return
		}
		j.finished = true
		j.ended <- o
	})
	return client.Job{}, err
}

func (f *fakeFarm) job(id string) *fakeJob { return f.jobs[id] }

func (f *fakeFarm) ended(id string) (c <-chan client.Outcome) {
	f.change(func() { c = f.job(id).ended })
	return c
}

func (f *fakeFarm) log(id string) (s string) {
	f.change(func() { s = f.job(id).shown.String() })
	return s
}

func (f *fakeFarm) archive(id string) (s string) {
	f.change(func() { s = f.job(id).archive })
	return s
}

func (f *fakeFarm) steps(id string) (s []string) {
	f.change(func() { s = f.job(id).steps })
	return s
}

func (f *fakeFarm) strategies(id string) (s []string) {
	f.change(func() { s = f.job(id).strategies })
	return s
}

func (f *fakeFarm) finished(id string) (yes bool) {
	f.change(func() { yes = f.job(id).finished })
	return yes
}

func (f *fakeFarm) away(yes bool)    { f.change(func() { f.isAway, f.refusals = yes, 0 }) }
func (f *fakeFarm) lose(id string)   { f.change(func() { f.job(id).lost = true }) }
func (f *fakeFarm) cancel(id string) { f.change(func() { f.job(id).cancelled = true }) }

// await waits until the farm's state fulfils a condition.
func (f *fakeFarm) await(t *testing.T, what string, until func() bool) {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() { f.change(func() {}) })
	defer late.Stop()
	deadline := time.Now().Add(50 * time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	for !until() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		f.changed.Wait()
	}
}

func (f *fakeFarm) awaitLog(t *testing.T, id, text string) {
	t.Helper()
	f.await(t, "log "+text, func() bool { return strings.Contains(f.job(id).shown.String(), text) })
}

func (f *fakeFarm) awaitClaims(t *testing.T, n int) {
	t.Helper()
	f.await(t, "claiming", func() bool { return f.claims >= n })
}

func (f *fakeFarm) awaitRefusals(t *testing.T, n int) {
	t.Helper()
	f.await(t, "refusals", func() bool { return f.refusals >= n })
}

// fakeBell rings when the test says so.
type fakeBell struct {
	cancels chan string
	wake    chan func()
}

func newFakeBell() *fakeBell { return &fakeBell{make(chan string), make(chan func(), 1)} }

func (b *fakeBell) Listen(ctx context.Context, _ string, _ []module.Platform, wake func()) error {
	b.wake <- wake
	<-ctx.Done()
	return nil
}

func (b *fakeBell) Cancels(ctx context.Context, fn func(string)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-b.cancels:
			fn(id)
		}
	}
}

// ring returns a channel that is closed when the pool took the wake-up.
func (b *fakeBell) ring() <-chan struct{} {
	taken := make(chan struct{})
	go func() {
		(<-b.wake)()
		close(taken)
	}()
	return taken
}
