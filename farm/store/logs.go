package store

import (
	"context"
	"errors"

	"github.com/modfarm/modfarm/farm"
)

var errEnough = errors.New("enough rows read")

// appendLog writes the chunks that were added to a job's log.
func (t *tx) appendLog(ctx context.Context, j *farm.JobRecord) error {
	for _, c := range j.NewLog {
		_, err := t.exec(ctx, `INSERT INTO log_chunks (job_id, position, step, data) VALUES (?, ?, ?, ?)`,
			j.Job.ID, c.Offset, c.Step, c.Data)
		if err != nil {
			return err
		}
	}
	j.NewLog = nil
	return nil
}

// LogEnd implements farm.Logs.
func (s *Store) LogEnd(ctx context.Context, jobID string) (size int64, state farm.JobState, err error) {
	return size, state, s.one(ctx, `SELECT log_size, state FROM jobs WHERE id = ?`, []any{jobID}, &size, &state)
}

// ReadLog implements farm.Logs. Where to end is in the query: PostgreSQL sends all that a query yields, also to who
// reads no more of it.
func (s *Store) ReadLog(ctx context.Context, jobID string, offset int64, maxBytes int) ([]farm.LogChunk, error) {
	var chunks []farm.LogChunk
	size := 0
	err := s.all(ctx, `SELECT position, step, data FROM log_chunks
		WHERE job_id = ? AND position >= COALESCE((SELECT MAX(position) FROM log_chunks WHERE job_id = ? AND position <= ?), 0)
			AND position < ?
		ORDER BY position`, []any{jobID, jobID, offset, offset + int64(max(1, maxBytes))}, func(row scanner) error {
		var c farm.LogChunk
		if err := row.Scan(&c.Offset, &c.Step, &c.Data); err != nil {
			return err
		}
		if skip := offset - c.Offset; skip > 0 {
			if skip >= int64(len(c.Data)) {
				return nil // offset is the end of the log
			}
			c.Offset, c.Data = offset, c.Data[skip:]
		}
		chunks = append(chunks, c)
		if size += len(c.Data); size >= maxBytes {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return chunks, err
}
