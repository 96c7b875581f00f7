package api

import (
	"errors"
	"io"

	"github.com/modfarm/modfarm/module"
)

// receiver is a client's stream of messages.
type receiver interface {
	Receive() bool
	Err() error
}

// next receives a message. The end of the stream is io.EOF.
func next(stream receiver) error {
	if stream.Receive() {
		return nil
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return io.EOF
}

// expect receives the message that has to come, and says what that is when the stream ends.
func expect(stream receiver, field, advice string) error {
	err := next(stream)
	if errors.Is(err, io.EOF) {
		return outOfOrder(field, advice)
	}
	return err
}

// outOfOrder is what a stream holds in place of another message.
func outOfOrder(field, advice string) error {
	return module.Fault{Path: field, Problem: "missing: the message in its place is another one, or none", Advice: advice}
}

// messageReader reads the bytes of messages as one stream. next returns those of the next message, and
// io.EOF behind the last.
type messageReader struct {
	next func() ([]byte, error)
	rest []byte
}

// Read copies from the current message and receives the next when that is empty.
func (m *messageReader) Read(b []byte) (int, error) {
	for len(m.rest) == 0 {
		piece, err := m.next()
		if err != nil {
			return 0, err
		}
		m.rest = piece
	}
	n := copy(b, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}
