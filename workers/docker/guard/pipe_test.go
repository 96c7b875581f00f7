package guard_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/workers/docker/guard"
)

// worker is the other side of a guard.
type worker struct {
	t      *testing.T
	dir    string
	orders *io.PipeWriter
	in     *json.Decoder
	ended  chan error
}

func newWorker(t *testing.T) *worker {
	t.Helper()
	w := &worker{t: t, dir: t.TempDir(), ended: make(chan error, 1)}
	orders, ordersIn := io.Pipe()
	reportsOut, reports := io.Pipe()
	w.orders, w.in = ordersIn, json.NewDecoder(reportsOut)
	go func() {
		w.ended <- guard.RunIn(t.Context(), orders, reports, w.dir)
		_ = reports.Close()
	}()
	t.Cleanup(func() {
		_ = ordersIn.Close()
		go func() { _, _ = io.Copy(io.Discard, reportsOut) }()
		select {
		case err := <-w.ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("the guard does not end with its orders")
		}
	})
	return w
}

// pipe makes a pipe and has it read.
func (w *worker) pipe(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if r := w.ask(guard.Order{Open: name}); r.Error != "" || r.Pipe != name {
		w.t.Fatalf("open: %+v", r)
	}
	return path
}

func (w *worker) order(o guard.Order) {
	w.t.Helper()
	line, err := json.Marshal(o)
	if err == nil {
		_, err = w.orders.Write(append(line, '\n'))
	}
	if err != nil {
		w.t.Error(err)
	}
}

// ask gives an order and returns the answer. Output that comes before it is dropped.
func (w *worker) ask(o guard.Order) guard.Report {
	w.t.Helper()
	o.ID = fmt.Sprint(rand.Int64())
	go w.order(o)
	for {
		if r := w.next(); r.ID == o.ID {
			return r
		}
	}
}

func (w *worker) next() (r guard.Report) {
	w.t.Helper()
	if err := w.in.Decode(&r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// read takes output until it holds n bytes, or to its end.
func (w *worker) read(from int64, n int) (data []byte, end bool) {
	w.t.Helper()
	for n < 0 || len(data) < n {
		r := w.next()
		if !r.Output {
			continue
		}
		if r.At != from+int64(len(data)) {
			w.t.Fatalf("output at %d, want %d", r.At, from+int64(len(data)))
		}
		data = append(data, r.Data...)
		if r.End {
			return data, true
		}
	}
	return data, false
}

func TestPipeIsReadAgainFromWhereItWasForgotten(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	path := w.pipe("out-1")
	build, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		if _, err := build.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	if got, end := w.read(0, 4); string(got) != "one\n" || end {
		t.Fatalf("output %q, end %v", got, end)
	}
	write("two\n")
	if got, _ := w.read(4, 4); string(got) != "two\n" {
		t.Fatalf("output %q", got)
	}
	w.order(guard.Order{Ack: 2})
	_ = build.Close()
	if got, end := w.read(8, -1); len(got) > 0 || !end {
		t.Fatalf("output %q, end %v", got, end)
	}
	one := int64(1)
	if r := w.ask(guard.Order{From: &one}); r.Error == "" {
		t.Error("what was forgotten is sent again")
	}
	three := int64(3)
	go w.order(guard.Order{From: &three})
	if got, end := w.read(3, -1); string(got) != "\ntwo\n" || !end {
		t.Errorf("again: %q, end %v", got, end)
	}
	nine := int64(9)
	if r := w.ask(guard.Order{From: &nine}); r.Error == "" {
		t.Error("what was never written is sent")
	}
}

// TestPipeMakesTheBuildWait writes more than is kept while nobody forgets any of it.
func TestPipeMakesTheBuildWait(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	path := w.pipe("out-1")
	build, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	const size = 16 << 20
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	written := make(chan error, 1)
	go func() {
		_, err := build.Write(want)
		_ = build.Close()
		written <- err
	}()
	got, _ := w.read(0, 4<<20)
	select {
	case err := <-written:
		t.Fatalf("the build did not wait: %v", err)
	default:
	}
	for end := false; !end; {
		w.order(guard.Order{Ack: int64(len(got))})
		var more []byte
		more, end = w.read(int64(len(got)), 1<<20)
		got = append(got, more...)
	}
	if err := <-written; err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d came through: %v", len(got), size, err)
	}
}

func TestPipeThatNobodyOpensIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	w.pipe("out-1")
	if r := w.ask(guard.Order{}); r.Begun {
		t.Errorf("begun: %+v", r)
	}
	w.order(guard.Order{Close: true})
	if got, end := w.read(0, -1); len(got) > 0 || !end {
		t.Errorf("output %q, end %v", got, end)
	}
	path := w.pipe("out-2")
	if err := os.WriteFile(path, []byte("next"), 0); err != nil {
		t.Fatal(err)
	}
	if got, end := w.read(0, -1); string(got) != "next" || !end {
		t.Errorf("output %q, end %v", got, end)
	}
}

func TestFileIsNoPipe(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	if err := os.WriteFile(filepath.Join(w.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		if r := w.ask(guard.Order{Open: name}); r.Error == "" {
			t.Errorf("%s was taken for a pipe", name)
		}
	}
}
