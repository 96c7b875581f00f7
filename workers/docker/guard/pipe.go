package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// PipesPath is where a guard, and the build beside it, see the pipes that the build writes to.
const PipesPath = "/run/modfarm"

const (
	// mostKept is how much of an output is kept, in bytes. When it is not forgotten in time, the build waits.
	mostKept = 4 << 20
	// mostSent is the most of one report.
	mostSent = 32 << 10
	// atOnce is how much has to be read at a time for the next read to follow at once; otherwise it comes after a
	// rest, so that a build that writes many short lines neither waits for them nor wakes everybody for each.
	atOnce = 16 << 10
	rest   = time.Millisecond
)

// pipe reads a named pipe and keeps what it read until the worker has it for good. A worker that is gone misses
// nothing: it asks for the output again, from where it was.
type pipe struct {
	name, path string
	send       func(Report) error

	mu      sync.Mutex
	changed *sync.Cond
	file    *os.File // nil until the build has opened it, too
	begun   bool
	ended   bool // nothing is read any more
	stopped bool // nothing is sent any more
	told    bool // the end was sent
	base    int64
	kept    []byte // from base on
	sent    int64
}

// openPipe begins to read a pipe of a folder that only the worker can change.
func openPipe(dir, name string, send func(Report) error) (*pipe, error) {
	p := &pipe{name: name, path: filepath.Join(dir, name), send: send}
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("the pipe %q is not in the folder of pipes", name)
	}
	if info, err := os.Lstat(p.path); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		return nil, errors.Join(fmt.Errorf("%s is no pipe", name), err)
	}
	p.changed = sync.NewCond(&p.mu)
	go p.read()
	go p.deliver()
	return p, nil
}

func (p *pipe) hasBegun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun
}

// read reads until nobody can write any more, or the pipe is closed.
func (p *pipe) read() {
	file, err := openToRead(p.path) // waits for the build
	p.mu.Lock()
	p.file = file
	if p.ended || err != nil {
		p.end()
		p.mu.Unlock()
		return
	}
	p.begun = true
	p.mu.Unlock()
	data := make([]byte, mostKept/16)
	for {
		n, err := file.Read(data)
		p.add(data[:n])
		if err != nil {
			break
		}
		if !p.room() {
			break
		}
		if n < atOnce {
			<-time.After(rest)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// end is called under the lock.
func (p *pipe) end() {
	p.ended = true
	if p.file != nil {
		_ = p.file.Close() // only read
		p.file = nil
	}
	p.changed.Broadcast()
}

// room waits until there is room for more output. It is false when nothing is to be read any more.
func (p *pipe) room() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.kept) >= mostKept && !p.ended {
		p.changed.Wait()
	}
	return !p.ended
}

// add adds to the output.
func (p *pipe) add(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(data) == 0 {
		return
	}
	p.kept = append(p.kept, data...)
	p.changed.Broadcast()
}

// deliver sends the output as it comes.
func (p *pipe) deliver() {
	for {
		report, ok := p.next()
		if !ok || p.send(report) != nil {
			return
		}
	}
}

// next waits for the next report.
func (p *pipe) next() (r Report, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		from := p.sent - p.base
		switch {
		case p.stopped:
			return r, false
		case from < int64(len(p.kept)):
			data := p.kept[from:]
			r = Report{Output: true, Pipe: p.name, At: p.sent, Data: append([]byte{}, data[:min(len(data), mostSent)]...)}
			p.sent += int64(len(r.Data))
			return r, true
		case p.ended && !p.told:
			p.told = true
			return Report{Output: true, Pipe: p.name, At: p.sent, End: true}, true
		}
		p.changed.Wait()
	}
}

// forget drops what is before an offset.
func (p *pipe) forget(before int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(before-p.base, int64(len(p.kept)))
	if n <= 0 {
		return
	}
	p.base += n
	if p.kept = p.kept[n:]; len(p.kept) == 0 {
		p.kept = nil
	}
	p.sent = max(p.sent, p.base)
	p.changed.Broadcast()
}

// sendFrom sends the output again.
func (p *pipe) sendFrom(from int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end := p.base + int64(len(p.kept)); from < p.base || from > end {
		return fmt.Errorf("the output is kept from %d to %d, and %d was asked for", p.base, end, from)
	}
	p.sent, p.told = from, false
	p.changed.Broadcast()
	return nil
}

// close ends the reading. What was read stays.
func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	waiting := p.file == nil
	p.end()
	if waiting {
		releaseReader(p.path)
	}
}

// stop ends the sending.
func (p *pipe) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.changed.Broadcast()
}
