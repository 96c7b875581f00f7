package workers

import (
	"fmt"
	"sync"
)

// maxTail bounds what is remembered of a step's output, to explain its end.
const maxTail = 64 << 10

// mostUnsettled is how much output waits for a point at which another process could go on with the log, in bytes. Only
// an output that might be a secret again and again gets there.
const mostUnsettled = 1 << 20

// jobLog is where a job writes: secrets are masked, then the bytes go to the tail of the step and, with long lines
// cut, to the spool. What scripts may write in all is bounded. Readers of the spool see what is noted: a process that
// is killed at any moment leaves a log with which the next one can go on, without a byte that is missing or doubled.
type jobLog struct {
	spool *spool
	notes *logNotes // nil for none
	total int64     // what scripts may write

	mu      sync.Mutex
	secrets []string
	mask    *masker
	lines   lineLimiter
	tail    []byte
	left    int64           // what scripts may still write
	full    func(*Exceeded) // told once when they write more
	first   func()          // told once when they write; nil for nobody

	stream       string // the command that writes
	raw, settled int64  // bytes that it wrote, and those of them that are noted
}

func newJobLog(s *spool, secrets []string, line int, total int64) *jobLog {
	l := &jobLog{spool: s, total: total, left: total, lines: lineLimiter{out: s, most: line}}
	l.hide(secrets...)
	return l
}

// hide masks further secrets from now on.
func (l *jobLog) hide(secrets ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mask != nil {
		_ = l.mask.Flush() // a failing disk shows at the next write
	}
	l.secrets = append(l.secrets, secrets...)
	l.mask = newMasker(sink{l}, l.secrets...)
	_ = l.settle()
}

// noteIn has the log note how far it has come.
func (l *jobLog) noteIn(n *logNotes) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = n
	l.spool.hide()
	return l.settle()
}

// follow says which command writes from now on.
func (l *jobLog) follow(stream string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	l.stream, l.raw, l.settled = stream, 0, 0
	return l.settle()
}

// goOn continues where a note says, with the end of what the step has written.
func (l *jobLog) goOn(n logNote) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream, l.raw, l.settled, l.left = n.Stream, n.Raw, n.Raw, n.Left
	l.lines.used, l.lines.left = n.Used, n.Cut
	if steps := len(n.Steps); steps > 0 {
		l.tail = l.spool.tail(n.Steps[steps-1].Offset, maxTail)
	}
}

// startOver lets scripts write as much as if nothing had been written.
func (l *jobLog) startOver() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	l.stream, l.raw, l.settled, l.left = "", 0, 0, l.total
}

// Settled implements Settler.
func (l *jobLog) Settled() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settled
}

// settle notes how far the log has come, where another masker could go on, and shows that.
func (l *jobLog) settle() error {
	if l.notes == nil {
		l.settled = l.raw
		return nil
	}
	back, ok := l.mask.settled()
	if !ok {
		if l.raw-l.settled < mostUnsettled {
			return nil
		}
		l.flush()
		back = 0
	}
	n := logNote{Stream: l.stream, Raw: l.raw - back, Used: l.lines.used, Cut: l.lines.left, Left: l.left}
	if l.left >= 0 {
		n.Left += back
	}
	n.Size, n.Steps = l.spool.at()
	if err := l.notes.write(n); err != nil {
		return err
	}
	l.settled = n.Raw
	l.spool.show(n.Size)
	return nil
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
	_ = l.settle() // a failing disk shows at the next write of output
}

// whenFull sets who is told that scripts wrote more than they may. It is called from within a Write.
func (l *jobLog) whenFull(f func(*Exceeded)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = f
	if f != nil && l.left < 0 { // it did before the worker was restarted
		f(l.tooMuch())
	}
}

func (l *jobLog) tooMuch() *Exceeded {
	return &Exceeded{What: fmt.Sprintf("wrote more than %s of log and was stopped; write less (make -s, or into a file), "+
		"or have the worker's owner raise --log-total", size(l.total))}
}

// Write adds output of scripts. What is too much is dropped: whoever was told stops the script.
func (l *jobLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first != nil {
		l.first()
		l.first = nil
	}
	if err := l.add(p); err != nil {
		return 0, err
	}
	if err := l.settle(); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *jobLog) add(p []byte) error {
	l.raw += int64(len(p))
	if l.left < 0 {
		return nil
	}
	if int64(len(p)) <= l.left {
		l.left -= int64(len(p))
		_, err := l.mask.Write(p)
		return err
	}
	_, err := l.mask.Write(p[:l.left])
	l.left = -1
	l.flush()
	_, _ = fmt.Fprintf(&l.lines, "\nThe scripts wrote more than %s, the most that a log keeps here (--log-total of the worker).\n", size(l.total))
	if l.full != nil {
		l.full(l.tooMuch())
	}
	return err
}

// say adds a line of the worker's own.
func (l *jobLog) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.mask.Write(fmt.Appendf(nil, format+"\n", args...)) // a failing disk shows at the next write of output
	l.flush()
	_ = l.settle()
}

// end returns the end of the step's output so far.
func (l *jobLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.mask.Flush()
	_ = l.settle()
	return string(l.tail)
}

// close ends the log.
func (l *jobLog) close() {
	l.mu.Lock()
	l.flush()
	_ = l.settle()
	l.mu.Unlock()
	l.spool.close()
}
