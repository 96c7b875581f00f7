package workers

import (
	"bytes"
	"fmt"
	"io"
)

// lineLimiter passes lines on and cuts the long ones, as they come: a line without an end must neither fill memory
// nor choke those who show a log. A carriage return begins a line anew, as on a terminal.
type lineLimiter struct {
	out  io.Writer
	most int
	used int   // bytes of the current line so far
	left int64 // bytes of it that were left out
	buf  []byte
}

// Write never keeps p, nor anything of it.
func (l *lineLimiter) Write(p []byte) (int, error) {
	if l.left == 0 && l.used+len(p) <= l.most { // the usual case
		l.used = l.after(p)
		return l.out.Write(p)
	}
	for rest := p; len(rest) > 0; {
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			l.part(rest)
			break
		}
		l.part(rest[:end])
		l.end(rest[end])
		rest = rest[end+1:]
	}
	if err := l.flush(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes what was put together.
func (l *lineLimiter) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.out.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// after is how long the current line is once p was written.
func (l *lineLimiter) after(p []byte) int {
	if i := bytes.LastIndexAny(p, "\r\n"); i >= 0 {
		return len(p) - i - 1
	}
	return l.used + len(p)
}

// part adds a piece of one line.
func (l *lineLimiter) part(p []byte) {
	room := min(len(p), max(0, l.most-l.used))
	l.left += int64(len(p) - room)
	l.used += room
	l.buf = append(l.buf, p[:room]...)
}

// end ends a line, and says what of it was left out.
func (l *lineLimiter) end(with byte) {
	if l.left > 0 {
		l.buf = fmt.Appendf(l.buf, " … %d bytes of this line are left out (--log-line of the worker)", l.left)
	}
	l.buf = append(l.buf, with)
	l.used, l.left = 0, 0
}

// finish ends an unfinished line that was cut, so that what follows is read.
func (l *lineLimiter) finish() error {
	if l.left == 0 {
		return nil
	}
	l.end('\n')
	return l.flush()
}

// boundedBuffer keeps the first bytes of an output and drops the rest.
type boundedBuffer struct {
	most int
	data []byte
}

func (b *boundedBuffer) String() string { return string(b.data) }

// Write always takes everything.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.data = append(b.data, p[:min(len(p), b.most-len(b.data))]...)
	return len(p), nil
}
