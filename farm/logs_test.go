package farm_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/module"
)

func TestAppendLog(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		for _, test := range []struct {
			name   string
			offset int64
			data   string
			next   int64
			is     error
		}{
			{"first", 0, "hello ", 6, nil},
			{"again", 0, "hello ", 6, nil},
			{"overlap", 3, "lo world\n", 12, nil},
			{"within", 2, "llo", 12, nil},
			{"gap", 13, "x", 12, module.ErrConflict},
			{"nothing", 12, "", 12, nil},
			{"binary", 12, "\x00\xff\r\n", 16, nil},
			{"before 0", -1, "x", 0, module.ErrInvalid},
			{"too large", 16, strings.Repeat("x", farm.MaxChunk+1), 0, module.ErrInvalid},
		} {
			next, err := w.AppendLog(t.Context(), a.Lease.Ref(), farm.LogChunk{Offset: test.offset, Step: "build", Data: []byte(test.data)})
			if next != test.next || !errors.Is(err, test.is) {
				t.Errorf("%s: %d, %v; want %d, %v", test.name, next, err, test.next, test.is)
			}
		}
		if got := w.text(a.Job.ID); got != "hello world\n\x00\xff\r\n" {
			t.Errorf("log: %q", got)
		}
		for offset, want := range map[int64]string{0: "hello ", 4: "o ", 6: "world\n", 15: "\n"} {
			chunks, err := w.ReadLog(t.Context(), a.Job.ID, offset, 1)
			if err != nil || len(chunks) != 1 || chunks[0].Offset != offset || string(chunks[0].Data) != want || chunks[0].Step != "build" {
				t.Errorf("ReadLog(%d): %+v, %v; want %q", offset, chunks, err, want)
			}
		}
		for _, offset := range []int64{16, 99} {
			if chunks, err := w.ReadLog(t.Context(), a.Job.ID, offset, 0); err != nil || len(chunks) != 0 {
				t.Errorf("ReadLog(%d): %+v, %v", offset, chunks, err)
			}
		}
	})
}

// TestLogOfTwoWorkers: the second worker goes on where the log ends, and the first cannot write into it.
func TestLogOfTwoWorkers(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		write := func(a *farm.Assignment, offset int64, text string) error {
			_, err := w.AppendLog(t.Context(), a.Lease.Ref(), farm.LogChunk{Offset: offset, Step: "build", Data: []byte(text)})
			return err
		}
		if err := write(a, a.Job.LogSize, "one\n"); err != nil {
			t.Fatal(err)
		}
		w.sweep(16 * time.Second)
		if err := write(a, 4, "two\n"); err != nil { // nobody claimed in between: the offsets still fit
			t.Fatal(err)
		}
		w.sweep(16 * time.Second)
		b := w.claim("w2", amd64)
		if err := write(a, 8, "late\n"); !errors.Is(err, farm.ErrLeaseLost) {
			t.Errorf("the lost worker wrote: %v", err)
		}
		if err := write(b, b.Job.LogSize, "three\n"); err != nil {
			t.Fatal(err)
		}
		want := "one\ntwo\nattempt 2 of 3 on worker w2: worker w1 stopped answering (attempt 1 of 3)\nthree\n"
		if got := w.text(a.Job.ID); got != want {
			t.Errorf("log: %q, want %q", got, want)
		}
	})
}

func TestFollowLog(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		got, ended := make(chan string), make(chan error, 1)
		go func() {
			ended <- w.FollowLog(t.Context(), a.Job.ID, 2, func(c farm.LogChunk) error {
				got <- string(c.Data)
				return nil
			})
		}()
		for i, text := range []string{"ab", "cd", "ef"} {
			if _, err := w.AppendLog(t.Context(), a.Lease.Ref(), farm.LogChunk{Offset: int64(2 * i), Data: []byte(text)}); err != nil {
				t.Fatal(err)
			}
			if i > 0 { // the first is before the offset
				if read := <-got; read != text {
					t.Errorf("followed %q, want %q", read, text)
				}
			}
		}
		go w.Finish(t.Context(), a.Lease.Ref(), farm.Outcome{Kind: farm.OutcomeFailed, Reason: "no"}) //nolint:errcheck // seen in the log
		if last := <-got; last != "linux/amd64 failed: no\n" {
			t.Errorf("last line %q", last)
		}
		if err := <-ended; err != nil {
			t.Errorf("FollowLog: %v", err)
		}
		stop := errors.New("reader left")
		if err := w.FollowLog(t.Context(), a.Job.ID, 0, func(farm.LogChunk) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("reader left: %v", err)
		}
		if err := w.FollowLog(t.Context(), "no-such-job", 0, nil); !errors.Is(err, module.ErrNotFound) {
			t.Errorf("unknown job: %v", err)
		}
	})
}

func TestFollowLogEndsWithItsContext(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.FollowLog(ctx, a.Job.ID, 0, func(farm.LogChunk) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("FollowLog: %v", err)
		}
	})
}

func TestLargeLog(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		w.submit(submission("", amd64))
		a := w.claim("w1", amd64)
		piece := bytes.Repeat([]byte("0123456789abcdef"), farm.MaxChunk/16)
		for i := range int64(5) {
			if _, err := w.AppendLog(t.Context(), a.Lease.Ref(), farm.LogChunk{Offset: i * farm.MaxChunk, Data: piece}); err != nil {
				t.Fatal(err)
			}
		}
		chunks, err := w.ReadLog(t.Context(), a.Job.ID, 0, 2*farm.MaxChunk)
		if err != nil || len(chunks) != 2 {
			t.Errorf("%d chunks for two megabytes, %v", len(chunks), err)
		}
		if got := len(w.text(a.Job.ID)); got != 5*farm.MaxChunk {
			t.Errorf("%d bytes", got)
		}
	})
}

// TestStoppingFarmSendsReadersAway: a reader of a job that goes on would keep the process from ending.
func TestStoppingFarmSendsReadersAway(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		b := w.submit(submission("0.1.0", amd64))
		a := w.claim("w1", amd64)
		if _, err := w.AppendLog(t.Context(), a.Lease.Ref(), farm.LogChunk{Data: []byte("begun\n")}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) })
		defer running.Wait()
		err := w.FollowLog(t.Context(), w.job(b.ID, amd64).ID, 0, func(farm.LogChunk) error { stop(); return nil })
		if !errors.Is(err, module.ErrUnavailable) {
			t.Errorf("a reader was told %v", err)
		}
	})
}
