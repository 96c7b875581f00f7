package farm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/modfarm/modfarm/module"
)

// Uploads reads source that was uploaded instead of pushed to a repository. farm/registry implements it.
type Uploads interface {
	// ReadSource reads files of uploaded source by its SHA-256; absent ones are absent from the map. Source that is not
	// stored, or not any more, is module.ErrNotFound.
	ReadSource(ctx context.Context, sha256 string, paths []string) (map[string][]byte, error)
	// KeepSource keeps uploaded source for as long as if it had been uploaded now. Source that is not stored, or not any
	// more, is module.ErrNotFound.
	KeepSource(ctx context.Context, sha256 string) error
}

// Uploaded says that the build is of uploaded source and not of a repository: it has no Repo and no Ref, and its Commit
// is the SHA-256 of the source archive.
func (b Build) Uploaded() bool { return b.Repo == "" }

// from names where the build comes from, within a sentence.
func (b Build) from() string {
	if b.Uploaded() {
		return "the uploaded source"
	}
	return b.Ref + " in " + b.Repo
}

// moved says what contradicts a release of the same version that has another commit.
func (b Build) moved() string {
	if b.Uploaded() {
		return fmt.Sprintf("this is the uploaded source %s", short(b.Commit))
	}
	return fmt.Sprintf("%s now means commit %s", b.Ref, short(b.Commit))
}

// origin names what a release was built from, within a sentence. A commit of SHA-256 length is that of uploaded source:
// repositories of such commits are hardly found.
func origin(rel module.Release) string {
	if len(rel.Commit) == hex.EncodedLen(sha256.Size) {
		return "uploaded source " + short(rel.Commit)
	}
	return "commit " + short(rel.Commit)
}

// checkTaken finds out before there is a build whether its uploaded source contradicts what is published of the
// version: module.ErrConflict when every platform would be refused. What a ref means is only known later.
func (f *Farm) checkTaken(ctx context.Context, b Build, platforms []module.Platform) error {
	if !b.Uploaded() {
		return nil
	}
	existing, err := f.releases(ctx, b)
	if err != nil {
		return err
	}
	var refusal string
	for _, p := range platforms {
		if _, refusal = taken(b, p, "", existing); refusal == "" {
			return nil
		}
	}
	return fmt.Errorf("%w: %s", module.ErrConflict, refusal)
}

// Check says what Submit would find wrong with s, whatever it is built from: for callers that are about to receive the
// source.
func (f *Farm) Check(ctx context.Context, s Submission) error {
	_, err := f.checkSubmission(ctx, s, nil)
	return err
}

// checkOrigin finds what is wrong with where the source is.
func checkOrigin(s Submission) module.Faults {
	if s.Source == "" {
		return append(checkRepo(s.Repo), checkRef(s.Ref)...)
	}
	if s.Repo != "" || s.Ref != "" || s.Token != "" || !fullCommit.MatchString(s.Source) {
		return module.Faults{{Path: "source", Value: s.Source, Problem: "not uploaded source by itself", Advice: "give a repository or source, not both"}}
	}
	return nil
}

// readFiles reads files of the build's commit.
func (f *Farm) readFiles(ctx context.Context, b Build, commit, token string, paths []string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	switch {
	case !b.Uploaded():
		return f.Source.ReadFiles(ctx, b.Repo, commit, token, paths)
	case f.Uploads == nil:
		return nil, errNoUploads()
	}
	return f.Uploads.ReadSource(ctx, commit, paths)
}

// keepSource sees to it before a retry that there is something to build: a repository has its commits, and uploaded
// source is collected some time after its build.
func (f *Farm) keepSource(ctx context.Context, b Build) error {
	switch {
	case !b.Uploaded():
		return nil
	case f.Uploads == nil:
		return errNoUploads()
	}
	return f.Uploads.KeepSource(ctx, b.Commit)
}

func errNoUploads() error {
	return fmt.Errorf("%w: this farm keeps no uploaded source; build from a repository", module.ErrNotFound)
}
