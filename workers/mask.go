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
