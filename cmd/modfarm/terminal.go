package main

import (
	"io"
	"os"
)

// safeOutput is where the words of strangers are shown: logs, and reasons that
// quote them. On a terminal only text and colours get through: the rest of a
// terminal's commands can rewrite what was shown before, answer for the user or fill
// the clipboard. Elsewhere everything is kept as it is.
func safeOutput(w io.Writer) io.Writer {
	if file, ok := w.(*os.File); ok && isTerminal(file) {
		return &safeText{w: w}
	}
	return w
}

// safeText lets text and colours through. Pieces may be cut anywhere.
type safeText struct {
	w    io.Writer
	held []byte // the beginning of an escape sequence, or of a character of two bytes
	in   sequence
}

// sequence is what the bytes at hand belong to.
type sequence int

const (
	inText    sequence = iota
	inEscape           // after ESC
	inControl          // after ESC [
	inString           // after ESC ] and its kin, which end with BEL or ESC \
	inC2               // after the byte that begins U+0080 to U+00BF
)

const (
	escape = 0x1b
	bel    = 0x07
	// longest is more than any colour has; what is longer is no sequence worth keeping.
	longest = 64
)

// Write implements io.Writer.
func (s *safeText) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	for _, b := range p {
		out = s.step(out, b)
	}
	if _, err := s.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// step adds to out what may be shown now that b came.
func (s *safeText) step(out []byte, b byte) []byte {
	if b == escape { // also within a sequence: terminals begin anew
		s.in, s.held = inEscape, append(s.held[:0], b)
		return out
	}
	switch s.in {
	case inEscape:
		return s.afterEscape(out, b)
	case inControl:
		return s.control(out, b)
	case inString:
		if b == bel {
			s.in = inText
		}
		return out
	case inC2:
		s.in = inText
		if b >= 0x80 && b < 0xa0 { // the controls of U+0080 to U+009F
			return out
		}
		return s.text(append(out, 0xc2), b)
	case inText:
	}
	return s.text(out, b)
}

func (s *safeText) text(out []byte, b byte) []byte {
	switch {
	case b == 0xc2:
		s.in = inC2
		return out
	case b < ' ' && b != '\n' && b != '\r' && b != '\t', b == 0x7f:
		return out
	}
	return append(out, b)
}

func (s *safeText) afterEscape(out []byte, b byte) []byte {
	switch b {
	case '[':
		s.in, s.held = inControl, append(s.held, b)
	case ']', 'P', 'X', '^', '_':
		s.in = inString
	default:
		s.in = inText // one letter, or the end of a string
		if b < ' ' {
			return s.text(out, b)
		}
	}
	return out
}

// control collects ESC [ … until its last byte; only m, which colours, is kept.
func (s *safeText) control(out []byte, b byte) []byte {
	s.held = append(s.held, b)
	switch {
	case b >= '@' && b <= '~':
		s.in = inText
		if b == 'm' {
			return append(out, s.held...)
		}
	case b < ' ', b > '~', len(s.held) > longest:
		s.in = inText
	}
	return out
}
