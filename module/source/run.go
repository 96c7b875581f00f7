package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// maxOutput bounds what is kept of git's messages and lists, in bytes.
const maxOutput = 4 << 20

// session runs git for one repository: a throw-away home, an environment built from nothing, and the token bound
// to the one URL.
type session struct {
	git    *Git
	repo   Repository
	target target
	home   string
	pins   []string
}

// open checks the repository against the policy and prepares the home. Callers close the session.
func (g *Git) open(ctx context.Context, repo Repository) (*session, error) {
	t, err := g.check(ctx, repo.URL)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "modfarm-git-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for git: %w", err)
	}
	s := &session{git: g, repo: repo, target: t, home: home}
	if err := s.trust(t); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() { _ = os.RemoveAll(s.home) }

// trust pins one more checked address and writes the configuration that all git processes of the session read.
func (s *session) trust(t target) error {
	if p := t.pin(); p != "" {
		s.pins = append(s.pins, p)
	}
	var b strings.Builder
	b.WriteString(baseConfig)
	if s.allowHTTP() {
		b.WriteString("[protocol \"http\"]\n\tallow = always\n")
	}
	b.WriteString("[http]\n")
	for _, p := range s.pins {
		fmt.Fprintf(&b, "\tcurloptResolve = %q\n", p)
	}
	if err := os.WriteFile(filepath.Join(s.home, ".gitconfig"), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write git's configuration: %w", err)
	}
	return nil
}

// baseConfig is the policy in git's own words. It is a file, not environment, because git clears part of the
// environment for submodules.
const baseConfig = `[core]
	hooksPath = /dev/null
	fsmonitor = false
	sshCommand = false
	askPass = true
[protocol]
	allow = never
[protocol "https"]
	allow = always
[credential]
	helper =
[http]
	followRedirects = false
	lowSpeedLimit = 100
	lowSpeedTime = 60
[submodule]
	recurse = false
[fetch]
	recurseSubmodules = false
[gc]
	auto = 0
[maintenance]
	auto = false
[init]
	defaultBranch = main
[advice]
	detachedHead = false
`

func (s *session) allowHTTP() bool {
	return s.git.Policy.AllowPrivate || strings.HasPrefix(s.target.url, "http://")
}

// env is git's whole environment. Only what reaches a network through a company's proxy is inherited.
func (s *session) env() []string {
	protocols := "https"
	if s.allowHTTP() {
		protocols = "https:http"
	}
	env := []string{
		"HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TMPDIR=" + s.home,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=" + protocols,
		"GIT_LFS_SKIP_SMUDGE=1", "GIT_NO_REPLACE_OBJECTS=1",
	}
	for _, name := range []string{
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
	} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return append(env, s.commandConfig()...)
}

// commandConfig passes what must override everything: the token's header, bound to the repository's URL.
func (s *session) commandConfig() []string {
	var pairs [][2]string
	if s.repo.Token != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(credentials(s.repo.Token)))
		pairs = append(pairs, [2]string{"http." + s.target.url + ".extraHeader", "Authorization: Basic " + basic})
	}
	env := []string{fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(pairs))}
	for i, p := range pairs {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, p[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, p[1]))
	}
	return env
}

// run runs git in dir ("" is the session's home) and gives its standard output.
func (s *session) run(ctx context.Context, dir string, args ...string) (string, error) {
	return s.feed(ctx, dir, nil, args...)
}

// feed is run for a git that reads; nil is nothing to read.
func (s *session) feed(ctx context.Context, dir string, in io.Reader, args ...string) (string, error) {
	var stdout, stderr limited
	if err := s.stream(ctx, dir, in, &stdout, &stderr, args...); err != nil {
		return "", s.explain(ctx, err, stderr.String()+stdout.String())
	}
	return stdout.String(), nil
}

func (s *session) stream(ctx context.Context, dir string, in io.Reader, out, errs io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	if dir == "" {
		cmd.Dir = s.home
	}
	cmd.Env = s.env()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	cmd.WaitDelay = 5 * time.Second
	ownGroup(cmd)
	return cmd.Run()
}

// explain turns a failed run into an *Error, or into the context's own error when the caller gave up.
func (s *session) explain(ctx context.Context, err error, output string) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return &Error{
			Kind: Unreachable, URL: shown(s.repo.URL), Problem: "the git program is not installed on this machine",
			Advice: "install it (Debian: apt-get install git)",
		}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{
			Kind: Unreachable, URL: shown(s.repo.URL), Problem: "git took too long and was stopped",
			Advice: "check that the server answers, then start the build again",
		}
	case ctx.Err() != nil:
		return fmt.Errorf("fetch %s: %w", shown(s.repo.URL), context.Cause(ctx))
	}
	return explain(s.repo, output)
}

// limited keeps the first maxOutput bytes and drops the rest without failing the writer.
type limited struct{ buf bytes.Buffer }

// Write never fails.
func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.buf.Len(); room > 0 {
		l.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// String gives what was kept.
func (l *limited) String() string { return l.buf.String() }
