package source

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
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
		if err := s.initialize(ctx, filepath.Join(s.home, "repo"), filepath.Join(s.home, "repo"), "--bare"); err != nil {
			return err
		}
		if _, err := s.run(ctx, "", "-C", "repo", "fetch", "--quiet", "--depth=1", "--no-tags", "--filter=blob:none", "origin", commit); err != nil {
			return err
		}
		var err error
		files, err = s.readFiles(ctx, commit, paths, maxBytes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// readFiles gives the files that the commit has, with one git for all: starting one takes longer than its work.
func (s *session) readFiles(ctx context.Context, commit string, paths []string, maxBytes int64) (map[string][]byte, error) {
	ask := []string{"-C", "repo", "--literal-pathspecs", "ls-tree", "-z", commit, "--"}
	names := map[string]string{} // as they were asked for, by what git calls them
	for _, p := range paths {
		clean := path.Clean(p)
		if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
			return nil, s.refuse(clean, "is outside of the repository", "use a relative path inside it")
		}
		names[clean] = p
		ask = append(ask, clean)
	}
	list, err := s.run(ctx, "", ask...)
	if err != nil {
		return nil, err
	}
	var there, blobs []string
	for entry := range strings.SplitSeq(strings.Trim(list, "\x00"), "\x00") {
		what, name, _ := strings.Cut(entry, "\t")
		fields := strings.Fields(what) // mode type id
		if _, asked := names[name]; !asked || len(fields) < 3 {
			continue
		}
		if fields[1] != "blob" || fields[0] == "120000" {
			return nil, s.refuse(name, "is a link or a folder", "make it a regular file")
		}
		there, blobs = append(there, name), append(blobs, fields[2])
	}
	contents, err := s.readBlobs(ctx, there, blobs, maxBytes)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for i, name := range there {
		files[names[name]] = contents[i]
	}
	return files, nil
}

// readBlobs gives the contents of blobs; names are those of their files.
func (s *session) readBlobs(ctx context.Context, names, blobs []string, maxBytes int64) ([][]byte, error) {
	if len(blobs) == 0 {
		return nil, nil
	}
	if len(blobs) > 1 { // git asks the server for what is missing one by one, and this fetches all at once
		fetch := append([]string{"-C", "repo", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "origin"}, blobs...)
		if _, err := s.run(ctx, "", fetch...); err != nil && ctx.Err() != nil {
			return nil, err // a server that does not give out single files is asked in its own way below
		}
	}
	out, err := s.feed(ctx, "", strings.NewReader(strings.Join(blobs, "\n")+"\n"), "-C", "repo", "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	contents := make([][]byte, len(blobs))
	for i, name := range names {
		head, rest, _ := strings.Cut(out, "\n") // id type size
		fields := strings.Fields(head)
		if len(fields) != 3 {
			return nil, &Error{Kind: Unreachable, URL: shown(s.repo.URL), Problem: "git gave no contents of " + name, Advice: "start the build again", Detail: head}
		}
		n, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || n > min(maxBytes, maxOutput) || n > int64(len(rest)) {
			return nil, s.refuse(name, fmt.Sprintf("has %s bytes, more than the %d that are read", fields[2], maxBytes), "make it smaller")
		}
		contents[i] = []byte(rest[:n])
		out = strings.TrimPrefix(rest[n:], "\n")
	}
	return contents, nil
}

func (s *session) refuse(name, problem, advice string) error {
	return &Error{Kind: Refused, URL: shown(s.repo.URL), Problem: name + " " + problem, Advice: advice}
}

func asError(err error, target **Error) bool { return errors.As(err, target) }
