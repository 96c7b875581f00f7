package workers

import (
	"errors"
	"io"
)

// masker replaces secrets on their way to a writer, in all forms in which they travel, also where one is split
// across writes or lines. Where what is written may go on to be a secret it is kept back; Flush lets it go.
type masker struct {
	out           io.Writer
	first, second *filter // nil when there are no secrets
}

// newMasker masks each secret.
func newMasker(out io.Writer, secrets ...string) *masker {
	m := &masker{out: out}
	if secrets = worthMasking(secrets); len(secrets) > 0 {
		m.second = newFilter(out, escapedForms(secrets), true)
		m.first = newFilter(m.second, forms(secrets), false)
	}
	return m
}

// Write passes on what cannot be part of a secret any more.
func (m *masker) Write(p []byte) (int, error) {
	if m.first == nil {
		return m.out.Write(p)
	}
	return m.first.Write(p)
}

// Flush passes on what was kept back.
func (m *masker) Flush() error {
	if m.first == nil {
		return nil
	}
	return errors.Join(m.first.Flush(), m.second.Flush())
}

// settled gives how many of the bytes that were written last a new masker has to get again, to go on as this one does;
// ok is false while there is no such number.
func (m *masker) settled() (back int64, ok bool) {
	if m.first == nil {
		return 0, true
	}
	kept := int64(len(m.second.held)) // the last of what the first one passed on
	if !m.first.settled() || !m.second.settled() || m.first.plain < kept {
		return 0, false
	}
	return kept + int64(len(m.first.held)), true
}
