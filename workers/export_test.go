package workers

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// Masked runs chunks through a masker.
func Masked(out io.Writer, secrets []string, chunks ...string) error {
	m := newMasker(out, secrets...)
	for _, c := range chunks {
		if _, err := m.Write([]byte(c)); err != nil {
			return err
		}
	}
	return m.Flush()
}

// NewMasker masks what is written to out.
func NewMasker(out io.Writer, secrets ...string) io.Writer { return newMasker(out, secrets...) }

// AliveFor is how long programs have to live on a machine with this /proc/loadavg.
func AliveFor(loadavg string, processors int) (native, emulated time.Duration) {
	busy := busynessOf(loadavg, processors)
	return aliveFor(true, busy), aliveFor(false, busy)
}

// Runnable is a command line as it is run in a work tree.
func Runnable(workdir, script string) string {
	j := &job{log: newJobLog(&spool{closed: true}, nil, 1<<10, 1<<20)}
	return j.runnable(script, checkout{tree: workdir, workdir: workdir})
}

// UnflushedMasked is Masked without the Flush: what readers see meanwhile.
func UnflushedMasked(out io.Writer, secrets []string, chunks ...string) error {
	m := newMasker(out, secrets...)
	for _, c := range chunks {
		if _, err := m.Write([]byte(c)); err != nil {
			return err
		}
	}
	return nil
}

// Choose asks for a plan and returns its strategy, its environment and why, or why there is none.
func Choose(
	fsys fs.FS, m *module.Manifest, target, host module.Platform, pinned bool, probed string, allowed ...module.Strategy,
) (strategy module.Strategy, env []string, because string) {
	p, err := question{
		target: target, host: host, allowed: allowed, pinned: pinned, project: lookAt(fsys, m),
		probe: func() (cgo, string, error) {
			if probed == "unknown" {
				return cgoUnknown, "", nil
			}
			kind, which := readProbe(probed)
			return kind, which, nil
		},
	}.choose()
	if err != nil {
		return "", nil, err.Error()
	}
	return p.strategy, p.env, p.because
}

// CrossTrouble exports crossTrouble.
func CrossTrouble(p module.Platform, output string) (string, bool) { return crossTrouble(p, output) }

// Spool is a spool under test.
type Spool struct{ *spool }

// NewSpool makes one.
func NewSpool(path string, limit int64) (Spool, error) {
	s, err := newSpool(path, limit)
	return Spool{s}, err
}

// Begin exports begin.
func (s Spool) Begin(step string) { s.begin(step) }

// Read exports read.
func (s Spool) Read(offset int64, n int) ([]byte, string, error) { return s.read(offset, n) }

// Close exports close.
func (s Spool) Close() { s.close() }

// LastLine exports lastLine.
func LastLine(s string) string { return lastLine(s) }

// KeptFrom exports keptFrom for a step of this key.
func KeptFrom(key string, exit Exit) string { return keptFrom(step{key: key}, exit, "") }

// Exhausted is the sentence about the limit that a failed command met; empty when it met none.
func Exhausted(exit Exit, output string) string {
	if err := exhausted("build", exit, output); err != nil {
		return err.Error()
	}
	return ""
}

// StartTrouble exports startTrouble.
func StartTrouble(end TrialEnd) string { return startTrouble(end) }

// Beat extends a lease until ctx ends.
func Beat(ctx context.Context, farm Leases, lease client.Lease) {
	newHeartbeat(farm, lease, func(error) {}, slog.New(slog.DiscardHandler)).run(ctx)
}

// KeptLog is a log that another process can go on with, in a folder.
type KeptLog struct {
	*jobLog
	notes *logNotes
}

// NewKeptLog begins one, or goes on with what is in the folder, and says how much of the stream is there.
func NewKeptLog(dir string, secrets []string, line int, total int64) (l KeptLog, raw int64, err error) {
	path := filepath.Join(dir, "log")
	if l.notes, err = openNotes(path + ".note"); err != nil {
		return l, 0, err
	}
	note, left := l.notes.last()
	var s *spool
	if left {
		s, err = openSpool(path, note, total+ownLines)
	} else {
		s, err = newSpool(path, total+ownLines)
	}
	if err != nil {
		return l, 0, err
	}
	l.jobLog = newJobLog(s, secrets, line, total)
	if left {
		l.goOn(note)
	}
	return l, note.Raw, l.noteIn(l.notes)
}

// Stream exports follow.
func (l KeptLog) Stream(name string) error { return l.follow(name) }

// Step exports begin.
func (l KeptLog) Step(name string) { l.begin(name) }

// Say exports say.
func (l KeptLog) Say(text string) { l.say("%s", text) }

// Shown is what readers see of it.
func (l KeptLog) Shown() []byte {
	size, _ := l.spool.written()
	data := make([]byte, size)
	_, _ = l.spool.file.ReadAt(data, 0)
	return data
}

// End ends the log and closes its files.
func (l KeptLog) End() []byte {
	l.close()
	defer l.Abandon()
	return l.Shown()
}

// Abandon closes its files, as the end of the process does.
func (l KeptLog) Abandon() {
	l.spool.remove()
	l.notes.close()
}
