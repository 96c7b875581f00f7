package road

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/modfarm/modfarm/module/source/gittest"
)

// gitToken is long because everything equal to a secret is masked in logs: a
// short one would eat ordinary words.
const gitToken = "road-checkout-token-5b0f6f2e9c1d"

// commitDate makes the commits of every run equal, and with them the archives.
const commitDate = "2026-01-02T03:04:05Z"

// gitHost is a git server on loopback with one bare repository per example.
type gitHost struct {
	server *gittest.Server
	root   string
}

func startGitHost(ctx context.Context, root, addressFile string) (*gitHost, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the git server: %w", err)
	}
	listener, err := listenAgain(ctx, addressFile)
	if err != nil {
		return nil, err
	}
	server, err := gittest.Serve(listener, root, gitToken) //nolint:contextcheck // it runs git once, to find a path
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the git server: %w", err), listener.Close())
	}
	return &gitHost{server: server, root: root}, nil
}

func (g *gitHost) close() error { return g.server.Close() }

// url is where a repository is fetched from and pushed to.
func (g *gitHost) url(name string) string {
	return g.server.URL + "/" + Namespace + "/" + name + ".git"
}

// publish commits the example, pushes it with its next version tag and returns
// the work tree, checked out at the tag.
//
// The remote called origin is the address such a repository has on GitHub,
// since that is where a workflow run takes the repository's name from; nothing
// is ever sent there.
func (g *gitHost) publish(ctx context.Context, cfg Config, name string) (work, tag string, err error) {
	bare := filepath.Join(g.root, Namespace, name+".git")
	work = filepath.Join(cfg.Dir, "work", name)
	if err := os.CopyFS(work, os.DirFS(filepath.Join(cfg.Root, "examples", name))); err != nil {
		return "", "", fmt.Errorf("copy the example: %w", err)
	}
	if err := pointAt(filepath.Join(work, "meta.json"), name, g.url(name)); err != nil {
		return "", "", err
	}
	if tag, err = g.nextTag(ctx, bare, cfg.Tag); err != nil {
		return "", "", err
	}
	return work, tag, g.push(ctx, work, name, tag)
}

// push commits all of a work tree, pushes it with its tag, and checks the tag out.
func (g *gitHost) push(ctx context.Context, work, name, tag string) error {
	for _, args := range [][]string{
		{"-C", work, "init", "--quiet", "--initial-branch=main"},
		{"-C", work, "remote", "add", "origin", "https://github.com/" + Namespace + "/" + name + ".git"},
		{"-C", work, "add", "--all"},
		{"-C", work, "commit", "--quiet", "--message", "Release " + tag},
		{"-C", work, "tag", tag},
		{"-C", work, "push", "--quiet", "--force", g.url(name), "main"},
		{"-C", work, "push", "--quiet", g.url(name), tag},
		{"-C", work, "checkout", "--quiet", tag},
	} {
		if err := g.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// nextTag makes the bare repository when it is new, and otherwise counts the
// patch version up: a version never changes, so a second run needs another one.
func (g *gitHost) nextTag(ctx context.Context, bare, first string) (string, error) {
	if _, err := os.Stat(bare); err != nil {
		if err := g.run(ctx, "init", "--quiet", "--bare", bare); err != nil {
			return "", err
		}
		return first, g.run(ctx, "-C", bare, "config", "http.receivepack", "true")
	}
	version, err := semver.NewVersion(first)
	if err != nil {
		return "", fmt.Errorf("the first tag: %w", err)
	}
	for next := *version; ; next = next.IncPatch() {
		tag := "v" + next.String()
		_, err := os.Stat(filepath.Join(bare, "refs", "tags", tag))
		if errors.Is(err, fs.ErrNotExist) {
			return tag, nil
		}
		if err != nil {
			return "", fmt.Errorf("look for the tag %s: %w", tag, err)
		}
	}
}

// pointAt writes the git server's address into the manifest: the farm fetches
// from the url of meta.json, which in the example is the one on GitHub.
func pointAt(manifest, name, url string) error {
	text, err := os.ReadFile(manifest)
	if err != nil {
		return fmt.Errorf("read the example's manifest: %w", err)
	}
	public := "https://github.com/" + Namespace + "/" + name
	if !strings.Contains(string(text), `"`+public+`"`) {
		return fmt.Errorf("%s: url is not %q", manifest, public)
	}
	changed := strings.Replace(string(text), `"`+public+`"`, `"`+url+`"`, 1)
	return os.WriteFile(manifest, []byte(changed), 0o644)
}

func (g *gitHost) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Road", "GIT_AUTHOR_EMAIL=road@example.com", "GIT_AUTHOR_DATE="+commitDate,
		"GIT_COMMITTER_NAME=Road", "GIT_COMMITTER_EMAIL=road@example.com", "GIT_COMMITTER_DATE="+commitDate,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http."+g.server.URL+"/.extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Bearer "+gitToken)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
