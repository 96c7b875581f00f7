package workers

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// logNote says how far a log has come, for the next process of this worker: what is in the spool up to Size is
// what became of the first Raw bytes of a command's output, and of all that came before it.
type logNote struct {
	// Stream names the command; empty for one that is not taken up.
	Stream string `json:"stream,omitempty"`
	Raw    int64  `json:"raw"`
	Size   int64  `json:"size"`
	// Used and Cut are where in a line the limit of lines is.
	Used int   `json:"used,omitempty"`
	Cut  int64 `json:"cut,omitempty"`
	// Left is what scripts may still write.
	Left  int64      `json:"left"`
	Steps []noteStep `json:"steps"`
}

// noteStep says where in the spool a step begins.
type noteStep struct {
	Offset int64  `json:"offset"`
	Step   string `json:"step"`
}

// logNotes is a file with the last note. A process that is killed within a write leaves the note before it whole: each
// is written where the last one is not, at once.
type logNotes struct {
	file *os.File
	seq  uint64
}

const (
	// slotSize is that of a page, which a write fills in one go.
	slotSize = 4 << 10
	// slotHead is a sum of the rest, the sequence number and the length.
	slotHead = 4 + 8 + 4
	// mostSteps keeps a note within a slot. A job has fewer.
	mostSteps = 24
)

func openNotes(path string) (*logNotes, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the notes about a log: %w", err)
	}
	return &logNotes{file: file}, nil
}

func (n *logNotes) close() { _ = n.file.Close() }

// write replaces the note.
func (n *logNotes) write(note logNote) error {
	note.Steps = note.Steps[max(0, len(note.Steps)-mostSteps):]
	data, err := json.Marshal(note)
	if err == nil && len(data) > slotSize-slotHead {
		err = errors.New("it is too long")
	}
	if err != nil {
		return fmt.Errorf("note how far a log has come: %w", err)
	}
	n.seq++
	slot := binary.BigEndian.AppendUint64(make([]byte, 4, slotHead+len(data)), n.seq)
	slot = binary.BigEndian.AppendUint32(slot, uint32(len(data))) //nolint:gosec // below slotSize
	slot = append(slot, data...)
	binary.BigEndian.PutUint32(slot, crc32.ChecksumIEEE(slot[4:]))
	if _, err := n.file.WriteAt(slot, int64(n.seq%2)*slotSize); err != nil {
		return fmt.Errorf("note how far a log has come: %w", err)
	}
	return nil
}

// last reads the note; ok is false when there is none.
func (n *logNotes) last() (note logNote, ok bool) {
	for i := range int64(2) {
		slot := make([]byte, slotSize)
		read, _ := n.file.ReadAt(slot, i*slotSize) // a file without the second slot is fine
		if read < slotHead {
			continue
		}
		seq, size := binary.BigEndian.Uint64(slot[4:]), int(binary.BigEndian.Uint32(slot[12:]))
		if seq <= n.seq || size > read-slotHead || binary.BigEndian.Uint32(slot) != crc32.ChecksumIEEE(slot[4:slotHead+size]) {
			continue
		}
		var found logNote
		if json.Unmarshal(slot[slotHead:slotHead+size], &found) == nil {
			note, ok, n.seq = found, true, seq
		}
	}
	return note, ok
}
