package source

import (
	"context"
	"errors"
	"strings"
)

// Resolve turns a ref into the commit it names now: a tag (an annotated one is followed to its commit), a branch,
// a full name like refs/tags/v1, HEAD (also when ref is empty), or a full commit id, which is returned as it is
// without asking the server. Where a tag and a branch share a name the tag wins. The error is an *Error.
func (g *Git) Resolve(ctx context.Context, repo Repository, ref string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, min(resolveTimeout, g.timeout()))
	defer cancel()
	if ref == "" {
		ref = "HEAD"
	}
	if err := checkRef(repo, ref); err != nil {
		return "", err
	}
	var commit string
	err := g.withRedirect(ctx, repo, func(s *session) error {
		if isCommit(ref) {
			commit = strings.ToLower(ref)
			return nil
		}
		out, err := s.run(ctx, "", append([]string{"ls-remote", "--", s.target.url}, candidates(ref)...)...)
		if err != nil {
			return err
		}
		commit = pick(out, ref)
		return nil
	})
	if err == nil && commit == "" {
		err = &Error{
			Kind: NotFound, URL: shown(repo.URL), Problem: "no tag, branch or commit " + ref,
			Advice: "push it first; a commit has to be given by its full 40 digits",
		}
	}
	return commit, err
}

// withRedirect runs do in a session. Where the server answers with a redirect, which is never followed, and the
// address has no .git ending, it tries once with that ending: some servers redirect for just that.
func (g *Git) withRedirect(ctx context.Context, repo Repository, do func(*session) error) error {
	err := g.withSession(ctx, repo, do)
	var e *Error
	if !errors.As(err, &e) || e.Kind != Refused || !strings.Contains(e.Detail, "returned error: 30") ||
		strings.HasSuffix(repo.URL, ".git") {
		return err
	}
	retry := repo
	retry.URL = strings.TrimSuffix(repo.URL, "/") + ".git"
	if again := g.withSession(ctx, retry, do); again == nil {
		return nil
	}
	return err
}

func (g *Git) withSession(ctx context.Context, repo Repository, do func(*session) error) error {
	s, err := g.open(ctx, repo)
	if err != nil {
		return err
	}
	defer s.close()
	return do(s)
}

// candidates are the full names that a short ref may stand for.
func candidates(ref string) []string {
	if ref == "HEAD" || strings.HasPrefix(ref, "refs/") {
		return []string{ref, ref + "^{}"}
	}
	return []string{"refs/tags/" + ref, "refs/tags/" + ref + "^{}", "refs/heads/" + ref}
}

// pick takes the commit for ref out of git ls-remote's list: the peeled tag before the tag before the branch.
func pick(list, ref string) string {
	found := map[string]string{}
	for line := range strings.Lines(list) {
		commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok && isCommit(commit) {
			found[name] = commit
		}
	}
	names := candidates(ref)
	order := append([]string{names[1]}, names[0])
	order = append(order, names[2:]...)
	for _, name := range order {
		if commit, ok := found[name]; ok {
			return commit
		}
	}
	return ""
}

// checkRef refuses what git would read as an option or a pattern, or never accepts as a ref.
func checkRef(repo Repository, ref string) error {
	bad := strings.HasPrefix(ref, "-") || strings.Contains(ref, "..") || strings.Contains(ref, "@{") ||
		strings.ContainsFunc(ref, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) })
	if !bad {
		return nil
	}
	return &Error{
		Kind: Refused, URL: shown(repo.URL), Problem: "not a ref: " + strings.ToValidUTF8(ref, "?"),
		Advice: "name a tag, a branch or a full commit id",
	}
}

// isCommit says whether s is a full commit id, SHA-1 or SHA-256.
func isCommit(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'f') && (r < 'A' || r > 'F')
	})
}
