package workers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"unicode/utf8"
)

// ownLines is what a spool keeps room for beside the output of scripts: the worker's own lines, and marks.
const ownLines = 1 << 20

// spool is a job's log on disk, up to a limit of last resort: what is written is never lost to a slow or absent farm, and never blocks a build
// for longer than the disk does.
type spool struct {
	limit int64
	grown chan struct{} // holds one token when there is news

	mu     sync.Mutex
	file   *os.File
	size   int64
	hidden bool   // what is written is not shown yet
	shown  int64  // size as readers know it
	steps  []mark // ascending
	full   bool
	closed bool
}

// mark says where a step's output begins.
type mark struct {
	offset int64
	step   string
}

func newSpool(path string, limit int64) (*spool, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the spool of a log: %w", err)
	}
	return &spool{limit: limit, grown: make(chan struct{}, 1), file: file}, nil
}

// openSpool goes on with a spool where a note says, with room for so much more.
func openSpool(path string, note logNote, more int64) (*spool, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the spool of a log: %w", err)
	}
	s := &spool{limit: note.Size + more, grown: make(chan struct{}, 1), file: file, size: note.Size, shown: note.Size}
	for _, step := range note.Steps {
		s.steps = append(s.steps, mark{step.Offset, step.Step})
	}
	return s, nil
}

// hide keeps what is written from now on from readers, until show.
func (s *spool) hide() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden = true
}

// show lets readers see what is before an offset.
func (s *spool) show(before int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown < before {
		s.shown = before
		s.news()
	}
}

// at is the size, and where steps begin.
func (s *spool) at() (size int64, steps []noteStep) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.steps {
		steps = append(steps, noteStep{m.offset, m.step})
	}
	return s.size, steps
}

// begin starts a step.
func (s *spool) begin(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.steps); n > 0 && s.steps[n-1].offset == s.size { // a step without output
		s.steps = s.steps[:n-1]
	}
	if n := len(s.steps); n == 0 || s.steps[n-1].step != step {
		s.steps = append(s.steps, mark{s.size, step})
	}
}

// Write appends to the log. It only fails when the disk does.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, os.ErrClosed
	}
	data := p
	if room := s.limit - s.size; int64(len(data)) > room {
		if s.full {
			return len(p), nil
		}
		s.full = true
		data = append(append([]byte{}, data[:max(room, 0)]...),
			fmt.Sprintf("\nThe log is longer than %d bytes; the rest is dropped. Write less to standard output.\n", s.limit)...)
	}
	n, err := s.file.WriteAt(data, s.size)
	s.size += int64(n)
	if !s.hidden {
		s.shown = s.size
		s.news()
	}
	if err != nil {
		return 0, fmt.Errorf("write the spool of a log: %w", err)
	}
	return len(p), nil
}

func (s *spool) news() {
	select {
	case s.grown <- struct{}{}:
	default:
	}
}

// read gives at most n bytes of one step from offset on, and the step. Data ends at a whole character unless the
// log is closed or the character is none.
func (s *spool) read(offset int64, n int) (data []byte, step string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := min(s.shown, offset+int64(n))
	i := sort.Search(len(s.steps), func(i int) bool { return s.steps[i].offset > offset })
	if i < len(s.steps) {
		end = min(end, s.steps[i].offset)
	}
	if i > 0 {
		step = s.steps[i-1].step
	}
	if end <= offset {
		return nil, step, nil
	}
	data = make([]byte, end-offset)
	if _, err := s.file.ReadAt(data, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, step, fmt.Errorf("read the spool of a log: %w", err)
	}
	last := i < len(s.steps) && end == s.steps[i].offset || s.closed && end == s.shown
	if !last {
		data = wholeRunes(data)
	}
	return data, step, nil
}

// wholeRunes cuts off an incomplete character at the end.
func wholeRunes(data []byte) []byte {
	for back := 1; back < utf8.UTFMax && back <= len(data); back++ {
		tail := data[len(data)-back:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if !utf8.FullRune(tail) {
			return data[:len(data)-back]
		}
		break
	}
	return data
}

// tail reads what is behind an offset, at most the last n bytes of it. What cannot be read is missed by nobody.
func (s *spool) tail(from int64, n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	from = max(from, s.size-int64(n))
	if from >= s.size {
		return nil
	}
	data := make([]byte, s.size-from)
	read, _ := s.file.ReadAt(data, from)
	return data[:read]
}

// written is the size of the log so far, as readers know it, and whether it is complete.
func (s *spool) written() (size int64, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown, s.closed
}

// close ends writing; reading goes on.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.news()
}

// remove closes the file. The folder's clean-up removes it.
func (s *spool) remove() { _ = s.file.Close() }
