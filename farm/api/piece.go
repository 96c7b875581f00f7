package api

import (
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/modfarm/modfarm/module"
	appv1 "github.com/modfarm/modfarm/proto/gen/viam/app/v1"
)

// piece is a message of an upload that is received into memory of its receiver: an archive of 1 GiB comes
// in 32,768 of them, and memory for each would cost more than hashing it.
type piece struct {
	*appv1.UploadModuleFileRequest
	// into is where the bytes of the file go, as far as it has capacity for them.
	into []byte
	// file is what came; it begins at into unless it was too long for that. It is nil when the message
	// holds something else, and then the message has all of it.
	file []byte
}

// fileField is the number of UploadModuleFileRequest.file.
const fileField protowire.Number = 2

// decode takes a message apart that holds a file and nothing else; ok is false for any other.
func (p *piece) decode(data []byte) (ok bool) {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 || number != fileField || kind != protowire.BytesType {
		return false
	}
	file, m := protowire.ConsumeBytes(data[n:])
	if m < 0 || n+m != len(data) {
		return false
	}
	p.file = append(p.into, file...)
	return true
}

// pieceCodec is Protocol Buffers with pieces.
type pieceCodec struct{}

// Name makes it the codec of all binary messages.
func (pieceCodec) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (pieceCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", message)
	}
	return proto.Marshal(m)
}

// Unmarshal keeps nothing of data.
func (pieceCodec) Unmarshal(data []byte, message any) error {
	if p, ok := message.(*piece); ok && p.decode(data) {
		return nil
	}
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", message)
	}
	return proto.Unmarshal(data, m)
}

// pieceReader reads the file of an upload, behind the message that begins it, as one stream.
type pieceReader struct {
	conn connect.StreamingHandlerConn
	msg  piece
	rest []byte // of a message that was longer than what was asked for
}

func newPieceReader(conn connect.StreamingHandlerConn) *pieceReader {
	return &pieceReader{conn: conn, msg: piece{UploadModuleFileRequest: &appv1.UploadModuleFileRequest{}}}
}

// Read receives into b.
func (r *pieceReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if err := r.receive(b); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.rest) // onto itself, when there was room for it
	r.rest = r.rest[n:]
	return n, nil
}

func (r *pieceReader) receive(b []byte) error {
	r.msg.Reset()
	r.msg.into, r.msg.file = b[:0:len(b)], nil
	err := r.conn.Receive(&r.msg)
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil:
		return err
	case r.msg.GetModuleFileInfo() != nil:
		return module.Fault{Path: "module_file_info", Problem: "sent twice", Advice: "send it as the first message only"}
	}
	if r.rest = r.msg.file; r.rest == nil {
		r.rest = r.msg.GetFile()
	}
	return nil
}
