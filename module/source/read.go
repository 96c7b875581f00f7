package source

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// ReadFiles gives the contents of a few files of one commit, for reading meta.json before any worker is involved.
// Paths are relative to the repository's root. Files that the commit does not have are absent from the map. A
// file larger than maxBytes, or one that is a link or a folder, is refused. Where the server can, only these
// files are transferred. The error is an *Error, or wraps the context's error.
func (g *Git) ReadFiles(
	ctx context.Context, repo Repository, commit string, paths []string, maxBytes int64,
) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout())
	defer cancel()
	if !isCommit(commit) {
		return nil, &Error{
			Kind: Refused, URL: shown(repo.URL), Problem: fmt.Sprintf("not a full commit id: %q", commit),
			Advice: "resolve the ref first",
		}
	}
	files := map[string][]byte{}
	err := g.withRedirect(ctx, repo, func(s *session) error {
		for _, args := range [][]string{
			{"init", "--quiet", "--bare", "--template=", "repo"},
			{"-C", "repo", "remote", "add", "origin", s.target.url},
			{"-C", "repo", "fetch", "--quiet", "--depth=1", "--no-tags", "--filter=blob:none", "origin", commit},
		} {
			if _, err := s.run(ctx, "", args...); err != nil {
				return err
			}
		}
		for _, p := range paths {
			data, err := s.readFile(ctx, commit, p, maxBytes)
			if err != nil {
				return err
			}
			if data != nil {
				files[p] = data
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// readFile gives one file, nil when the commit does not have it.
func (s *session) readFile(ctx context.Context, commit, name string, maxBytes int64) ([]byte, error) {
	clean := path.Clean(name)
	refuse := func(problem, advice string) error {
		return &Error{Kind: Refused, URL: shown(s.repo.URL), Problem: clean + " " + problem, Advice: advice}
	}
	if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
		return nil, refuse("is outside of the repository", "use a relative path inside it")
	}
	list, err := s.run(ctx, "", "-C", "repo", "--literal-pathspecs", "ls-tree", "-z", commit, "--", clean)
	if err != nil || list == "" {
		return nil, err
	}
	fields := strings.Fields(list) // mode type id path
	if len(fields) < 4 || fields[1] != "blob" || fields[0] == "120000" {
		return nil, refuse("is a link or a folder", "make it a regular file")
	}
	size, err := s.run(ctx, "", "-C", "repo", "cat-file", "-s", fields[2])
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
	if err != nil || n > min(maxBytes, maxOutput) {
		return nil, refuse(fmt.Sprintf("has %d bytes, more than the %d that are read", n, maxBytes), "make it smaller")
	}
	data, err := s.run(ctx, "", "-C", "repo", "cat-file", "blob", fields[2])
	if err != nil {
		return nil, err
	}
	return []byte(data), nil
}

func asError(err error, target **Error) bool { return errors.As(err, target) }
