package source

import (
	"bufio"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Starting git takes longer than what it does in a small repository, and a build waits for it. What is here does
// without it.

// initialize makes an empty repository whose remote is the session's. options are those of `git init`, which does it
// where it has to find out about the file system first: that upper and lower case are one there, or that there are
// no links.
func (s *session) initialize(ctx context.Context, dir, repo string, options ...string) error {
	if runtime.GOOS == "linux" {
		return s.makeRepository(repo, len(options) > 0)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the repository: %w", err)
	}
	if _, err := s.run(ctx, dir, append([]string{"init", "--quiet", "--template="}, options...)...); err != nil {
		return err
	}
	_, err := s.run(ctx, dir, "remote", "add", "origin", s.target.url)
	return err
}

// makeRepository writes what git takes for a repository. The address was checked: it holds no control character.
func (s *session) makeRepository(repo string, bare bool) error {
	config := fmt.Sprintf("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = %t\n", bare)
	if !bare {
		config += "\tlogallrefupdates = true\n"
	}
	config += "[remote \"origin\"]\n\turl = \"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.target.url) +
		"\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
	var errs error
	for _, folder := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags"} {
		errs = errors.Join(errs, os.MkdirAll(filepath.Join(repo, folder), 0o755))
	}
	for name, text := range map[string]string{"HEAD": "ref: refs/heads/main\n", "config": config} {
		errs = errors.Join(errs, os.WriteFile(filepath.Join(repo, name), []byte(text), 0o644)) //nolint:gosec // as git does
	}
	if errs != nil {
		return fmt.Errorf("make the repository: %w", errs)
	}
	return nil
}

// looseCommitTime reads the time of the commit that is checked out, where git keeps it as a file of its own: in
// repositories with few files. A repository that is not as Fetch left it is git's business.
func looseCommitTime(dir string) (seconds int64, ok bool) {
	root, err := os.OpenRoot(filepath.Join(dir, ".git"))
	if err != nil {
		return 0, false
	}
	defer root.Close()
	head, err := root.ReadFile("HEAD")
	commit := strings.TrimSpace(string(head))
	if err != nil || !isCommit(commit) {
		return 0, false
	}
	file, err := root.Open(filepath.Join("objects", commit[:2], commit[2:]))
	if err != nil {
		return 0, false
	}
	defer file.Close()
	text, err := zlib.NewReader(file)
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(io.LimitReader(text, maxOutput))
	for first := true; lines.Scan(); first = false {
		line := lines.Text()
		if first && !strings.HasPrefix(line, "commit ") || line == "" {
			return 0, false
		}
		if line, found := strings.CutPrefix(line, "committer "); found {
			_, stamp, _ := strings.Cut(line[strings.LastIndexByte(line, '>')+1:], " ") // name <address> seconds zone
			number, _, _ := strings.Cut(stamp, " ")
			seconds, err := strconv.ParseInt(number, 10, 64)
			return seconds, err == nil
		}
	}
	return 0, false
}

// mayUseLargeFiles says whether a .gitattributes file of the tree speaks of Git LFS. What cannot be read is left to
// git.
func mayUseLargeFiles(ctx context.Context, dir string) bool {
	found := false
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case entry.Name() != ".gitattributes":
			return nil
		case !entry.Type().IsRegular():
			found = true
			return fs.SkipAll
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if found = info.Size() > maxOutput; found {
			return fs.SkipAll
		}
		text, err := os.ReadFile(path)
		if found = strings.Contains(string(text), "filter=lfs"); found {
			return fs.SkipAll
		}
		return err
	})
	return found || err != nil
}
