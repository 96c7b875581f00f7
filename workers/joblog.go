package workers

import (
	"fmt"
	"sync"
)

// maxTail bounds what is remembered of a step's output, to explain its end.
const maxTail = 64 << 10

// jobLog is where a job writes: secrets are masked, then the bytes go to the tail of the step and, with long lines
// cut, to the spool. What scripts may write in all is bounded.
type jobLog struct {
	spool *spool
	total int64 // what scripts may write

	mu    sync.Mutex
	mask  *masker
	lines lineLimiter
	tail  []byte
	left  int64           // what scripts may still write
	full  func(*Exceeded) // told once when they write more
}

func newJobLog(s *spool, secrets []string, line int, total int64) *jobLog {
	l := &jobLog{spool: s, total: total, left: total, lines: lineLimiter{out: s, most: line}}
	l.mask = newMasker(sink{l}, secrets...)
	return l
}

// sink is behind the masker; it runs under the lock of Write.
type sink struct{ l *jobLog }

func (s sink) Write(p []byte) (int, error) {
	s.l.tail = append(s.l.tail, p...)
	if extra := len(s.l.tail) - maxTail; extra > 0 {
		s.l.tail = append(s.l.tail[:0], s.l.tail[extra:]...)
	}
	return s.l.lines.Write(p)
}

// flush lets go of what the masker keeps and ends a line that is being cut. A failing disk shows at the next write
// of output.
func (l *jobLog) flush() {
	_ = l.mask.Flush()
	_ = l.lines.finish()
}

// begin starts a step: its name is shown, and the tail starts anew.
func (l *jobLog) begin(step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	l.tail = nil
	l.spool.begin(step)
}

// whenFull sets who is told that scripts wrote more than they may. It is called from within a Write.
func (l *jobLog) whenFull(f func(*Exceeded)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = f
}

// Write adds output of scripts. What is too much is dropped: whoever was told stops the script.
func (l *jobLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left < 0 {
		return len(p), nil
	}
	if int64(len(p)) <= l.left {
		l.left -= int64(len(p))
		return l.mask.Write(p)
	}
	_, err := l.mask.Write(p[:l.left])
	l.left = -1
	l.flush()
	_, _ = fmt.Fprintf(&l.lines, "\nThe scripts wrote more than %s, the most that a log keeps here (--log-total of the worker).\n", size(l.total))
	if l.full != nil {
		l.full(&Exceeded{What: fmt.Sprintf("wrote more than %s of log and was stopped; write less (make -s, or into a file), "+
			"or have the worker's owner raise --log-total", size(l.total))})
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// say adds a line of the worker's own.
func (l *jobLog) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.mask.Write(fmt.Appendf(nil, format+"\n", args...)) // a failing disk shows at the next write of output
	l.flush()
}

// end returns the end of the step's output so far.
func (l *jobLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.mask.Flush()
	return string(l.tail)
}

// close ends the log.
func (l *jobLog) close() {
	l.mu.Lock()
	l.flush()
	l.mu.Unlock()
	l.spool.close()
}
