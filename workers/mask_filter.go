package workers

import (
	"bytes"
	"io"
	"math/bits"
	"slices"
)

const (
	// minWrapped is how much of a secret has to be there before a line end within it is looked over, as programs
	// that wrap their output make thef.
	minWrapped = 3
	// maxWrap is how many characters such a line end may have.
	maxWrap = 2

	stars = "***"
)

// filter replaces texts on their way to a writer, also where one is split across writes or lines. It keeps back only
// the bytes that may be the beginning of one; Flush lets them go. Its memory is bounded by the texts' lengths, and
// its work by the bytes, whatever they are.
type filter struct {
	out     io.Writer
	auto    *automaton
	escapes bool // reads %41 as A

	state   int32
	wrapped int     // line ends looked over since the last character
	read    int64   // characters that were not looked over
	at      []int64 // where the last characters are, as many as the longest text has; a power of two
	escape  []byte  // the beginning of an escape
	held    []byte  // not passed on yet; its first byte is number base of all
	cover   []cover
	base    int64
	masking bool  // the last thing passed on were stars
	plain   int64 // bytes passed on since then

	again *filter // for settled
}

// cover says what becomes of a byte that is held.
type cover uint8

const (
	asItIs  cover = iota
	covered       // within a secret
	begins        // covered, and stars stand for it and those that follow
)

func newFilter(out io.Writer, texts []string, escapes bool) *filter {
	f := &filter{out: out, auto: newAutomaton(texts), escapes: escapes}
	f.at = make([]int64, 1<<bits.Len32(uint32(f.auto.longest))) //nolint:gosec // positive
	return f
}

// Write passes on what cannot be part of a text any more.
func (f *filter) Write(p []byte) (int, error) {
	safe := make([]byte, 0, len(p)+len(f.held))
	for i := 0; i < len(p); i++ {
		if len(f.held) == 0 { // nothing is going on: pass what has nothing to do with any text
			n := f.harmless(p[i:])
			if n > 0 {
				safe = append(safe, p[i:i+n]...)
				f.base += int64(n)
				f.plain += int64(n)
				f.state, f.masking = 0, false
			}
			if i += n; i == len(p) {
				break
			}
		}
		safe = f.step(safe, p[i])
	}
	if len(safe) == 0 {
		return len(p), nil
	}
	if _, err := f.out.Write(safe); err != nil {
		return 0, err
	}
	return len(p), nil
}

// harmless is how many bytes at the beginning of p can be passed on without a closer look. Nothing is held before it.
func (f *filter) harmless(p []byte) int {
	a, state := f.auto, f.state
	for i, b := range p {
		special := b == '%' && f.escapes || (b == '\n' || b == '\r') && a.depth[state] >= minWrapped
		if !special {
			next := a.next(state, b)
			if a.match[next] == 0 {
				state = next
				continue
			}
		}
		return max(i-int(a.depth[state]), 0)
	}
	return max(len(p)-int(a.depth[state]), 0)
}

// step takes one byte and appends to safe what is decided by it.
func (f *filter) step(safe []byte, b byte) []byte {
	where := f.base + int64(len(f.held))
	f.held, f.cover = append(f.held, b), append(f.cover, asItIs)
	if !f.escapes {
		return f.release(safe, f.take(b, where, where+1))
	}
	digit := isHex(b)
	switch {
	case len(f.escape) == 0 && b == '%', len(f.escape) == 1 && digit:
		f.escape = append(f.escape, b)
		return safe
	case len(f.escape) == 2 && digit:
		c := unhex(f.escape[1])<<4 | unhex(b)
		f.escape = f.escape[:0]
		return f.release(safe, f.take(c, where-2, where+1))
	}
	// What looked like an escape is none.
	literal := slices.Clone(f.escape)
	f.escape = f.escape[:0]
	for i, c := range literal {
		from := where - int64(len(literal)-i)
		f.take(c, from, from+1)
	}
	if b == '%' {
		f.escape = append(f.escape, b)
		return safe
	}
	return f.release(safe, f.take(b, where, where+1))
}

// take follows one character, which stands from one place to another, and returns where what is undecided begins.
func (f *filter) take(c byte, from, to int64) (undecided int64) {
	if (c == '\n' || c == '\r') && f.wrapped < maxWrap && f.auto.depth[f.state] >= minWrapped {
		f.wrapped++
		return f.place(f.auto.depth[f.state])
	}
	f.wrapped = 0
	f.state = f.auto.next(f.state, c)
	f.at[f.read&int64(len(f.at)-1)] = from
	f.read++
	if n := f.auto.match[f.state]; n > 0 {
		f.mark(f.place(n), to)
		f.state = f.auto.rest[f.state] // a line end behind a secret is nothing to wait for
	}
	if n := f.auto.depth[f.state]; n > 0 {
		return f.place(n)
	}
	return to
}

func isHex(b byte) bool { return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'f' }

func unhex(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return b | 0x20 - 'a' + 10
}

// place is where the last n characters begin.
func (f *filter) place(n int32) int64 { return f.at[(f.read-int64(n))&int64(len(f.at)-1)] }

// mark covers everything between two places.
func (f *filter) mark(from, to int64) {
	first := max(from-f.base, 0)
	if f.cover[first] == asItIs {
		f.cover[first] = begins
		if from < f.base && f.masking { // its beginning was passed on as stars
			f.cover[first] = covered
		}
	}
	for i := first + 1; i < to-f.base; i++ {
		f.cover[i] = covered
	}
}

// release passes on what is before a place, and what is known to be a secret.
func (f *filter) release(safe []byte, undecided int64) []byte {
	n := 0
	for n < len(f.held) && (f.base+int64(n) < undecided || f.cover[n] != asItIs) {
		switch f.cover[n] {
		case asItIs:
			safe = append(safe, f.held[n])
			f.masking = false
			f.plain++
		case begins:
			safe = append(safe, stars...)
			f.masking = true
			f.plain = 0
		case covered: // the stars stand for it
			f.plain = 0
		}
		n++
	}
	f.base += int64(n)
	f.held = append(f.held[:0], f.held[n:]...)
	f.cover = append(f.cover[:0], f.cover[n:]...)
	return safe
}

// settled reports whether a new filter that begins with what this one holds would go on as this one does.
func (f *filter) settled() bool {
	if f.state == 0 && len(f.held) == 0 && f.wrapped == 0 {
		return true
	}
	if len(f.held) == 0 {
		return false
	}
	if f.again == nil {
		f.again = &filter{auto: f.auto, escapes: f.escapes, at: make([]int64, len(f.at))}
	}
	n := f.again
	n.state, n.wrapped, n.read, n.base, n.masking = 0, 0, 0, 0, false
	n.escape, n.held, n.cover = n.escape[:0], n.held[:0], n.cover[:0]
	for _, b := range f.held {
		if len(n.step(nil, b)) > 0 {
			return false
		}
	}
	return n.state == f.state && n.wrapped == f.wrapped && bytes.Equal(n.escape, f.escape) && slices.Equal(n.cover, f.cover)
}

// Flush passes on what was kept back.
func (f *filter) Flush() error {
	safe := f.release(nil, f.base+int64(len(f.held)))
	f.state, f.wrapped, f.masking, f.escape = 0, 0, false, f.escape[:0]
	if len(safe) == 0 {
		return nil
	}
	_, err := f.out.Write(safe)
	return err
}
