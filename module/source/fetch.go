package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxSubmoduleDepth ends repositories whose submodules contain each other.
const maxSubmoduleDepth = 6

// Fetch puts exactly one commit into dir, which is made when absent and must be empty otherwise: shallow, without
// tags, with submodules, and with large files where the repository uses Git LFS. The folder is an ordinary work
// tree with its .git, whose configuration holds no secret. The error is an *Error, or wraps the context's error.
func (g *Git) Fetch(ctx context.Context, repo Repository, commit, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout())
	defer cancel()
	if !isCommit(commit) {
		return &Error{
			Kind: Refused, URL: shown(repo.URL), Problem: fmt.Sprintf("not a full commit id: %q", commit),
			Advice: "resolve the ref first",
		}
	}
	return g.withRedirect(ctx, repo, func(s *session) error {
		if err := s.checkout(ctx, commit, dir); err != nil {
			return err
		}
		if err := s.submodules(ctx, dir, 0); err != nil {
			return err
		}
		return s.largeFiles(ctx, dir)
	})
}

// CommitTime gives the committer's time of the commit that Fetch put into dir.
func (g *Git) CommitTime(ctx context.Context, dir string) (time.Time, error) {
	if seconds, ok := looseCommitTime(dir); ok {
		return time.Unix(seconds, 0).UTC(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false",
		"-C", dir, "log", "-1", "--no-show-signature", "--format=%ct")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("read the commit's time: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the commit's time: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// checkout starts over when a first try (under another spelling of the address) left an empty repository behind.
func (s *session) checkout(ctx context.Context, commit, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the work tree: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		if err := os.RemoveAll(filepath.Join(dir, ".git")); err != nil {
			return fmt.Errorf("clean the work tree: %w", err)
		}
	}
	if err := s.initialize(ctx, dir, filepath.Join(dir, ".git")); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"fetch", "--quiet", "--depth=1", "--no-tags", "origin", commit},
		{"checkout", "--quiet", "--detach", "FETCH_HEAD"},
	} {
		if _, err := s.run(ctx, dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// submodules fetches what .gitmodules names, each address checked first, one level after the other.
func (s *session) submodules(ctx context.Context, dir string, depth int) error {
	if _, err := os.Lstat(filepath.Join(dir, ".gitmodules")); err != nil {
		return nil // no .gitmodules: no submodules
	}
	if depth >= maxSubmoduleDepth {
		return &Error{
			Kind: Refused, URL: shown(s.repo.URL), Advice: "remove the cycle",
			Problem: fmt.Sprintf("submodules are nested more than %d deep", maxSubmoduleDepth),
		}
	}
	if _, err := s.run(ctx, dir, "submodule", "--quiet", "init"); err != nil {
		return err
	}
	if err := s.checkSubmodules(ctx, dir); err != nil {
		return err
	}
	if _, err := s.run(ctx, dir,
		"submodule", "--quiet", "update", "--checkout", "--depth=1", "--single-branch"); err != nil {
		return s.submoduleError(err)
	}
	paths, err := s.run(ctx, dir, "submodule", "--quiet", "foreach", "--quiet", `printf '%s\0' "$displaypath"`)
	if err != nil {
		return err
	}
	for path := range strings.SplitSeq(strings.Trim(paths, "\x00"), "\x00") {
		if path == "" {
			continue
		}
		if err := s.submodules(ctx, filepath.Join(dir, path), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checkSubmodules holds every submodule's address, relative ones resolved, to the policy.
func (s *session) checkSubmodules(ctx context.Context, dir string) error {
	list, err := s.run(ctx, dir, "config", "--local", "--null", "--get-regexp", `^submodule\..*\.url$`)
	if err != nil {
		return nil // exit status 1: a .gitmodules without any submodule in the tree
	}
	for entry := range strings.SplitSeq(strings.Trim(list, "\x00"), "\x00") {
		key, address, _ := strings.Cut(entry, "\n")
		t, err := s.checkPart(ctx, address)
		if err != nil {
			return fmt.Errorf("submodule %s: %w", strings.TrimSuffix(strings.TrimPrefix(key, "submodule."), ".url"), err)
		}
		if err := s.trust(t); err != nil {
			return err
		}
	}
	return nil
}

// submoduleError adds the reason that surprises: the token opens one address only.
func (s *session) submoduleError(err error) error {
	var e *Error
	if ok := asError(err, &e); ok && (e.Kind == Denied || e.Kind == NotFound) {
		e.Problem = "a submodule: " + e.Problem
		e.Advice = "the token is only sent to the repository itself: make the submodule public, or vendor it"
	}
	return err
}
