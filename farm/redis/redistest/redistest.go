// Package redistest gives tests a real Redis server of their own on a free port. Tests import it, the product never
// does.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/redis"
)

const (
	startTimeout = 30 * time.Second
	password     = "only-for-tests"
)

// Server is a running redis-server.
type Server struct {
	port int
	dir  string
	cmd  *exec.Cmd
}

// Start starts a server until the test ends. Without the redis-server program the test is skipped, or fails when the
// environment says CI=true.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{dir: tb.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	s.Restart(tb)
	tb.Cleanup(s.Kill)
	return s
}

// Restart starts the server on the port it had. What it held is gone.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatal("no redis-server is installed (Debian package redis-server)")
		}
		tb.Skip("no redis-server is installed (Debian package redis-server)")
	}
	s.cmd = exec.Command(program, "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--requirepass", password)
	if err := s.cmd.Start(); err != nil {
		tb.Fatalf("start redis-server: %v", err)
	}
	s.await(tb)
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // killed, and says so
	s.cmd = nil
}

// URL is what redis.Open takes.
func (s *Server) URL() string { return fmt.Sprintf("redis://:%s@127.0.0.1:%d/0", password, s.port) }

// Do sends one command of plain words and returns the first line of the answer.
func (s *Server) Do(tb testing.TB, words ...string) string {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.port), startTimeout)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		tb.Fatal(err)
	}
	fmt.Fprintf(conn, "AUTH %s\r\n%s\r\n", password, strings.Join(words, " "))
	answers := bufio.NewScanner(conn)
	for range 2 {
		if !answers.Scan() {
			tb.Fatalf("redis %v: %v", words, answers.Err())
		}
	}
	return answers.Text()
}

// Open connects to the server with key names of the test's own, until the test ends.
func Open(tb testing.TB, url string) *redis.Redis {
	tb.Helper()
	r, err := redis.Open(tb.Context(), url)
	if err != nil {
		tb.Fatalf("open Redis: %v", err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r.WithPrefix(tb.Name() + ":")
}

func (s *Server) await(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		r, err := redis.Open(ctx, s.URL())
		if err == nil {
			_ = r.Close()
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("redis-server does not answer: %v", err)
		case <-ticker.C:
		}
	}
}
