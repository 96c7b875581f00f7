// Package gittest serves a folder of bare repositories and their large files over real smart HTTP, with or without
// tokens, and makes such repositories. It is for tests and demonstrations: it listens on the loopback interface only, and it never
// belongs in a farm.
package gittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Server is a running git server.
type Server struct {
	// URL is the server's address, without a slash at the end: repository widget.git is at URL + "/widget.git".
	URL string

	http *http.Server
	done chan error
}

// NewServer serves every bare repository below root on a free loopback port. With tokens, each request has to
// carry one of them, as a Bearer token or as the password of any user; without, reading and pushing are open.
// Callers close the server.
func NewServer(root string, tokens ...string) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for git: %w", err)
	}
	s, err := Serve(listener, root, tokens...)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return s, nil
}

// Serve is NewServer on a listener of the caller's, which the server closes.
func Serve(listener net.Listener, root string, tokens ...string) (*Server, error) {
	handler, err := Handler(root, tokens...)
	if err != nil {
		return nil, err
	}
	s := &Server{
		URL:  "http://" + listener.Addr().String(),
		http: &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// Close stops the server and waits for it.
func (s *Server) Close() error {
	err := s.http.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Handler is the server without a listener, for tests that wrap it. See NewServer.
func Handler(root string, tokens ...string) (http.Handler, error) {
	backend, err := backendPath()
	if err != nil {
		return nil, err
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find the folder of repositories: %w", err)
	}
	git := &cgi.Handler{
		Path: backend,
		Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + os.DevNull,
			"GIT_CONFIG_COUNT=3",
			"GIT_CONFIG_KEY_0=http.receivepack", "GIT_CONFIG_VALUE_0=true",
			"GIT_CONFIG_KEY_1=uploadpack.allowFilter", "GIT_CONFIG_VALUE_1=true",
			"GIT_CONFIG_KEY_2=safe.directory", "GIT_CONFIG_VALUE_2=*",
		},
		InheritEnv: []string{"PATH"},
		Stderr:     io.Discard,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(tokens) > 0 && !slices.Contains(tokens, credential(r)) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		if !largeFiles(root, w, r) {
			git.ServeHTTP(w, r)
		}
	}), nil
}

func credential(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func backendPath() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("find git's programs (is git installed?): %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return "", fmt.Errorf("git has no http-backend here: %w", err)
	}
	return backend, nil
}
