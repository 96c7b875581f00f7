package source

import (
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// Kind says what sort of thing went wrong with a repository.
type Kind string

// The kinds of Error. Each maps to one of package module's sentinels, so errors.Is works on them.
const (
	NotFound    Kind = "not found"   // no such repository, ref or commit: module.ErrNotFound
	Denied      Kind = "denied"      // the server wants another token: module.ErrForbidden
	Unreachable Kind = "unreachable" // network, server or local git trouble, worth a retry: module.ErrUnavailable
	Refused     Kind = "refused"     // against the rules of this package: module.ErrInvalid
)

// Error says what is wrong with a repository and what to do next. Its text never contains a token.
type Error struct {
	Kind Kind
	// URL is the repository as the user named it, without user information.
	URL string
	// Problem and Advice are the two halves of the sentence.
	Problem, Advice string
	// Detail is git's own last line, empty when git was not asked.
	Detail string
}

// Error gives the sentence.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.URL)
	b.WriteString(": ")
	b.WriteString(e.Problem)
	if e.Detail != "" {
		b.WriteString(" (git: ")
		b.WriteString(e.Detail)
		b.WriteString(")")
	}
	if e.Advice != "" {
		b.WriteString("; ")
		b.WriteString(e.Advice)
	}
	return b.String()
}

// Unwrap gives the sentinel of the kind.
func (e *Error) Unwrap() error {
	switch e.Kind {
	case NotFound:
		return module.ErrNotFound
	case Denied:
		return module.ErrForbidden
	case Refused:
		return module.ErrInvalid
	default:
		return module.ErrUnavailable
	}
}

// symptom is one thing git says, in the C locale, and what it means for a user.
type symptom struct {
	says            string
	kind            Kind
	problem, advice string
}

// refusedToken is said of a login that failed; without a token there was none to refuse.
const refusedToken = "the server refused the token"

// symptoms is searched in order: the first that occurs in git's output explains the failure.
func symptoms() []symptom {
	const (
		token    = "pass a token that may read the repository"
		exists   = "check the address; a private repository needs a token"
		commit   = "push it first, or name a commit, tag or branch that the server has"
		try      = "check that the address is right and that this machine can reach it, then start the build again"
		redirect = "use the address that the server redirects to"
	)
	return []symptom{
		{"returned error: 30", Refused, "the server redirects elsewhere, and redirects are not followed", redirect},
		{"Authentication failed", Denied, refusedToken, token},
		{"could not read Username", Denied, "the server asks for a login", token},
		{"could not read Password", Denied, "the server asks for a login", token},
		{"terminal prompts disabled", Denied, "the server asks for a login", token},
		{"returned error: 401", Denied, refusedToken, token},
		{"returned error: 403", Denied, "the server refused access", token},
		{"returned error: 404", NotFound, "no such repository", exists},
		{"Repository not found", NotFound, "no such repository", exists},
		{"' not found", NotFound, "no such repository", exists},
		{"not our ref", NotFound, "the server does not have this commit", commit},
		{"unadvertised object", NotFound, "the server does not give out this commit", commit},
		{"couldn't find remote ref", NotFound, "the server does not have this commit", commit},
		{"not allowed", Refused, "this way of fetching is not allowed", "use an https address"},
		{"Could not resolve host", Unreachable, "the name of the server is unknown", try},
		{"Failed to connect", Unreachable, "the server does not answer", try},
		{"Couldn't connect", Unreachable, "the server does not answer", try},
		{
			"certificate", Unreachable, "the server's certificate is not trusted here",
			"install the certificate authority on this machine",
		},
		{"No space left on device", Unreachable, "the disk of this machine is full", "free some space and start the build again"},
	}
}

// explain turns git's output into an Error.
func explain(repo Repository, output string) *Error {
	e := &Error{
		Kind: Unreachable, URL: shown(repo.URL), Problem: "git failed",
		Advice: "see git's own words, then start the build again",
		Detail: redact(repo.Token, lastLine(output)),
	}
	for _, s := range symptoms() {
		if strings.Contains(output, s.says) {
			e.Kind, e.Problem, e.Advice = s.kind, s.problem, s.advice
			if s.problem == refusedToken && repo.Token == "" {
				e.Problem = "the server asks for a login"
			}
			return e
		}
	}
	return e
}

// lastLine gives the last line that says something, preferring the one git marks as fatal.
func lastLine(output string) string {
	last := ""
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if fatal, ok := strings.CutPrefix(line, "fatal: "); ok {
			return fatal
		}
		if line != "" {
			last = line
		}
	}
	return last
}

// shown is a URL that may appear in texts: without user information, whatever its form.
func shown(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "", raw
	}
	authority, path, slash := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	out := authority
	if ok {
		out = scheme + "://" + authority
	}
	if slash {
		out += "/" + path
	}
	return out
}

// redact removes a token, in each form in which it travels, from text.
func redact(token, text string) string {
	if token == "" {
		return text
	}
	for _, form := range []string{
		base64.StdEncoding.EncodeToString([]byte(credentials(token))),
		url.QueryEscape(token), url.PathEscape(token), token,
	} {
		text = strings.ReplaceAll(text, form, "***")
	}
	return text
}

// credentials is the user:password form of a token.
func credentials(token string) string {
	if strings.Contains(token, ":") {
		return token
	}
	return "x-access-token:" + token
}
