package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

const (
	// idleSession is how long an upload without a connection keeps its inspection
	// going. One that comes back later is inspected from its beginning.
	idleSession = 2 * time.Minute
	// impatience is how often one who waits for an upload interrupts who has it.
	impatience = time.Second
	// noteTimeout bounds noting what came of an upload whose request is gone.
	noteTimeout = 30 * time.Second
)

// sessions are the uploads that are open in this process.
type sessions struct {
	mu   sync.Mutex
	open map[string]*session
}

// session is an open upload. Who holds its turn may use its fields.
type session struct {
	id     string
	turn   chan struct{} // holds one while nobody has it
	row    Pending
	intake *intake         // nil before the first bytes, and after release
	report *archive.Report // of bytes that are kept
	gone   bool            // not in sessions any more

	mu        sync.Mutex // of what follows
	interrupt func()     // makes the holder give up
	used      time.Time
}

func (l *sessions) get(id string) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[string]*session{}
	}
	s, ok := l.open[id]
	if !ok {
		s = &session{id: id, turn: make(chan struct{}, 1), used: time.Now()}
		s.turn <- struct{}{}
		l.open[id] = s
	}
	return s
}

func (l *sessions) drop(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.gone = true
	delete(l.open, s.id)
}

func (l *sessions) all() []*session {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*session
	for _, s := range l.open {
		list = append(list, s)
	}
	return list
}

// length is how many bytes an open upload has.
func (l *sessions) length(id string) (int64, bool) {
	l.mu.Lock()
	s, ok := l.open[id]
	l.mu.Unlock()
	if !ok {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.intake == nil {
		return 0, false
	}
	return s.intake.length(), true
}

// enter takes the turn of an upload, interrupting who has it, and reads its row.
func (r *Registry) enter(ctx context.Context, id string, interrupt func()) (*session, error) {
	for {
		s := r.sessions.get(id)
		if err := s.take(ctx, interrupt); err != nil {
			return nil, err
		}
		if s.gone {
			s.leave()
			continue
		}
		row, err := r.Store.Upload(ctx, id)
		if err == nil && s.intake != nil && !row.TouchedAt.Equal(s.row.TouchedAt) {
			err = r.release(s) // another node of the farm went on with it; what this one knows is old
			s.leave()
			if err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			err = errors.Join(fmt.Errorf("upload %s: %w", id, err), r.release(s))
			s.leave()
			return nil, err
		}
		s.row = row
		return s, nil
	}
}

func (s *session) take(ctx context.Context, interrupt func()) error {
	tick := time.NewTicker(impatience)
	defer tick.Stop()
	for {
		s.mu.Lock() // held meanwhile: the holder's connection may serve something else behind leave
		if s.interrupt != nil {
			s.interrupt()
		}
		s.mu.Unlock()
		select {
		case <-s.turn:
			s.mu.Lock()
			s.interrupt = interrupt
			s.mu.Unlock()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// leave gives the turn back.
func (s *session) leave() {
	s.mu.Lock()
	s.interrupt, s.used = nil, time.Now()
	s.mu.Unlock()
	s.turn <- struct{}{}
}

// open makes the session's intake: the digests go on behind their kept state, over
// bytes that are read from the disk, and the inspection starts at the beginning.
func (r *Registry) open(ctx context.Context, s *session, expect archive.Expect) error {
	if s.intake != nil {
		return nil
	}
	upload, err := r.Blobs.Resume(ctx, s.row.Key)
	if err != nil {
		r.sessions.drop(s)
		return fmt.Errorf("upload %s: %w", s.row.ID, err)
	}
	d, err := restore(s.row.State)
	if err != nil || d.n > upload.Size() {
		// The disk forgot what it had confirmed; nothing of the upload can be believed.
		lost := fmt.Errorf("%w: upload %s lost bytes on the farm's disk; begin a new one", module.ErrNotFound, s.row.ID)
		return errors.Join(lost, err, upload.Leave(), r.remove(ctx, s))
	}
	if _, err := io.Copy(d, io.NewSectionReader(upload, d.n, upload.Size()-d.n)); err != nil {
		return errors.Join(fmt.Errorf("upload %s: %w", s.row.ID, err), upload.Leave())
	}
	in := newIntake(ctx, upload, d, r.within(expect))
	in.keep = func(ctx context.Context, state []byte) error {
		s.row.State = state
		return r.touch(ctx, s)
	}
	s.setIntake(in)
	return r.touch(ctx, s) // from here on no other node's word counts
}

func (s *session) setIntake(in *intake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intake = in
}

// note makes what came durable and writes down how far the digests are, also when
// the request is gone.
func (r *Registry) note(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	state, err := s.intake.digest.state()
	if err == nil {
		err = s.intake.upload.Flush()
	}
	if err != nil {
		return err
	}
	s.row.State = state
	return r.touch(ctx, s)
}

// touch stores the session's row.
func (r *Registry) touch(ctx context.Context, s *session) error {
	before := s.row.TouchedAt
	s.row.TouchedAt = r.now()
	if !s.row.TouchedAt.After(before) {
		s.row.TouchedAt = before.Add(time.Millisecond)
	}
	if err := r.Store.TouchUpload(ctx, s.row, before); err != nil {
		return fmt.Errorf("upload %s: %w", s.row.ID, err)
	}
	return nil
}

// release closes what a session has open; its upload can be resumed.
func (r *Registry) release(s *session) error {
	r.sessions.drop(s)
	if s.intake == nil {
		return nil
	}
	in := s.intake
	s.setIntake(nil)
	in.stop()
	return in.upload.Leave()
}

// remove removes the session's upload with its bytes, unless they are kept.
func (r *Registry) remove(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	r.sessions.drop(s)
	upload, err := Upload(nil), error(nil)
	if in := s.intake; in != nil {
		s.setIntake(nil)
		in.stop()
		upload = in.upload
	} else if upload, err = r.Blobs.Resume(ctx, s.row.Key); errors.Is(err, module.ErrNotFound) {
		err = nil // kept, or lost
	}
	if upload != nil {
		err = upload.Abort()
	}
	return errors.Join(err, r.Store.DeleteUpload(ctx, s.row.ID))
}

// closeSessions closes the open uploads that nobody has used since before.
func (r *Registry) closeSessions(before time.Time) error {
	var errs []error
	for _, s := range r.sessions.all() {
		select {
		case <-s.turn:
		default:
			continue // in use
		}
		s.mu.Lock()
		idle := s.used.Before(before)
		s.mu.Unlock()
		if idle && !s.gone {
			errs = append(errs, r.release(s))
		}
		s.turn <- struct{}{}
	}
	return errors.Join(errs...)
}
