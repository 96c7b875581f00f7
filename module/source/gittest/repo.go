package gittest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// commandTimeout bounds one git command on a local repository.
const commandTimeout = time.Minute

// Repo is a repository with a work tree, whose commits go to a bare repository that a Server serves.
type Repo struct {
	// Dir is the work tree; callers may write into it between commits.
	Dir string
	// Bare is the served repository.
	Bare string
}

// NewRepo makes the bare repository root/name (such as acme/widget.git) and an empty work tree in dir.
func NewRepo(ctx context.Context, root, name, dir string) (*Repo, error) {
	r := &Repo{Dir: dir, Bare: filepath.Join(root, name)}
	for _, d := range []string{r.Dir, r.Bare} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make a repository: %w", err)
		}
	}
	if _, err := Git(ctx, r.Bare, "init", "--quiet", "--bare", "--template=", "-b", "main"); err != nil {
		return nil, err
	}
	if _, err := Git(ctx, r.Dir, "init", "--quiet", "--template=", "-b", "main"); err != nil {
		return nil, err
	}
	_, err := Git(ctx, r.Dir, "remote", "add", "origin", r.Bare)
	return r, err
}

// Commit writes files (path to content; a content that starts with #! makes the file executable), commits
// everything in the work tree, tags it when tags are given, pushes, and returns the commit.
func (r *Repo) Commit(ctx context.Context, files map[string]string, tags ...string) (string, error) {
	for name, content := range files {
		if err := write(filepath.Join(r.Dir, name), content); err != nil {
			return "", err
		}
	}
	steps := [][]string{{"add", "-A"}, {"commit", "--quiet", "--allow-empty", "-m", "Change"}}
	for _, tag := range tags {
		steps = append(steps, []string{"tag", "-a", "-m", tag, tag})
	}
	steps = append(steps, []string{"push", "--quiet", "origin", "HEAD:main"}, []string{"push", "--quiet", "origin", "--tags"})
	for _, step := range steps {
		if _, err := Git(ctx, r.Dir, step...); err != nil {
			return "", err
		}
	}
	commit, err := Git(ctx, r.Dir, "rev-parse", "HEAD")
	return strings.TrimSpace(commit), err
}

func write(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write a file of a repository: %w", err)
	}
	mode := os.FileMode(0o644)
	if strings.HasPrefix(content, "#!") {
		mode = 0o755
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		return fmt.Errorf("write a file of a repository: %w", err)
	}
	return nil
}

// Git runs one git command in dir with a fixed identity, nothing of the user's configuration, and local submodules
// allowed, and returns its standard output.
func Git(ctx context.Context, dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@example.com",
		"GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.com",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always",
		"GIT_CONFIG_KEY_1=safe.directory", "GIT_CONFIG_VALUE_1=*",
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
