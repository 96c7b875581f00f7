package githubtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenLife is how long an installation token is good for at GitHub.
const tokenLife = time.Hour

type installation struct {
	id        int64
	account   string
	all       bool // of the account's repositories
	repos     []string
	suspended bool
}

type installationToken struct {
	installation int64
	repos        []string // keys; nil for all of the installation
	permissions  map[string]string
	expires      time.Time
}

// Token is an installation token as it was minted.
type Token struct {
	Value       string
	Repos       []string
	Permissions map[string]string
}

// Tokens lists the installation tokens that were minted and not revoked.
func (s *Server) Tokens() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Token
	for value, t := range s.tokens {
		list = append(list, Token{Value: value, Repos: slices.Clone(t.repos), Permissions: t.permissions})
	}
	return list
}

// ExpireTokens makes every installation token that was minted too old, as an hour does.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
}

// expire is ExpireTokens; s.mu is held.
func (s *Server) expire() {
	for _, t := range s.tokens {
		t.expires = time.Now().Add(-time.Second)
	}
}

func (s *Server) appRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /app", s.asApp(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"id": s.App.ID, "slug": s.App.Slug, "name": s.App.Name, "html_url": s.URL + "/apps/" + s.App.Slug,
			"permissions": map[string]string{"contents": "read", "checks": "write", "metadata": "read"},
		})
	}))
	mux.HandleFunc("GET /app/installations", s.asApp(s.listInstallations))
	mux.HandleFunc("GET /app/installations/{id}", s.asApp(s.getInstallation))
	mux.HandleFunc("POST /app/installations/{id}/access_tokens", s.asApp(s.mint))
	mux.HandleFunc("GET /repos/{owner}/{name}/installation", s.asApp(s.installationOf))
	mux.HandleFunc("GET /installation/repositories", s.installedRepositories)
	mux.HandleFunc("DELETE /installation/token", s.revoke)
}

// asApp lets calls through that carry a JSON Web Token of the App: RS256, by its key, young and short-lived.
func (s *Server) asApp(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.checkAppToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); err != nil {
			problem(w, http.StatusUnauthorized, "%v", err)
			return
		}
		next(w, r)
	}
}

func (s *Server) checkAppToken(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("A JSON web token could not be decoded") //nolint:staticcheck // GitHub's words
	}
	var header struct{ Alg string }
	var claims struct {
		Iss any     `json:"iss"`
		Iat float64 `json:"iat"`
		Exp float64 `json:"exp"`
	}
	if decodePart(parts[0], &header) != nil || decodePart(parts[1], &claims) != nil || header.Alg != "RS256" {
		return errors.New("A JSON web token could not be decoded") //nolint:staticcheck // GitHub's words
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return errors.New("A JSON web token could not be verified") //nolint:staticcheck // GitHub's words
	}
	if issuer := fmt.Sprint(claims.Iss); issuer != strconv.FormatInt(s.App.ID, 10) && issuer != s.App.ClientID && issuer != fmt.Sprintf("%g", float64(s.App.ID)) {
		return fmt.Errorf("'Issuer' claim ('iss') must be an Integer: %s", issuer)
	}
	now, issued, expires := time.Now(), time.Unix(int64(claims.Iat), 0), time.Unix(int64(claims.Exp), 0)
	if issued.After(now.Add(time.Minute)) || expires.Before(now) || expires.Sub(issued) > 11*time.Minute {
		return errors.New("'Expiration time' claim ('exp') is too far in the future, or past")
	}
	return nil
}

func decodePart(part string, v any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func (s *Server) mint(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Repositories  []string          `json:"repositories"`
		RepositoryIDs []int64           `json:"repository_ids"`
		Permissions   map[string]string `json:"permissions"`
	}
	if r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			problem(w, http.StatusBadRequest, "Problems parsing JSON")
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.installations[pathID(r)]
	if in == nil || in.suspended {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	t := &installationToken{installation: in.id, permissions: ask.Permissions, expires: time.Now().Add(tokenLife)}
	for _, name := range ask.Repositories {
		t.repos = append(t.repos, repoKey(in.account, name))
	}
	for _, id := range ask.RepositoryIDs {
		for key, repo := range s.repos {
			if repo.ID == id && key == repoKey(repo.Owner, repo.Name) { // an old name leads there, too
				t.repos = append(t.repos, key)
			}
		}
	}
	for _, key := range t.repos {
		if s.repos[key] == nil || !s.covers(in, key) {
			problem(w, http.StatusUnprocessableEntity, "There is at least one repository that does not exist or is not accessible to the parent installation.")
			return
		}
	}
	if len(t.repos) < len(ask.Repositories)+len(ask.RepositoryIDs) {
		problem(w, http.StatusUnprocessableEntity, "There is at least one repository that does not exist or is not accessible to the parent installation.")
		return
	}
	if t.permissions == nil {
		t.permissions = map[string]string{"contents": "read", "checks": "write", "metadata": "read"}
	}
	value := "ghs_" + rand.Text()
	s.tokens[value] = t
	answer(w, http.StatusCreated, map[string]any{"token": value, "expires_at": t.expires.UTC().Format(time.RFC3339), "permissions": t.permissions})
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, credential(r))
	w.WriteHeader(http.StatusNoContent)
}

func credential(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	header := r.Header.Get("Authorization")
	for _, scheme := range []string{"Bearer ", "token "} {
		if value, ok := strings.CutPrefix(header, scheme); ok {
			return value
		}
	}
	return ""
}

// may says whether a request's token is good for a repository and a permission; s.mu is held.
func (s *Server) may(r *http.Request, key, permission, level string) (*installationToken, int) {
	t := s.tokens[credential(r)]
	if t == nil || t.expires.Before(time.Now()) {
		return nil, http.StatusUnauthorized
	}
	in := s.installations[t.installation]
	if in == nil || in.suspended {
		return nil, http.StatusUnauthorized
	}
	if key != "" && (!s.covers(in, key) || (t.repos != nil && !slices.Contains(t.repos, key))) {
		return nil, http.StatusNotFound
	}
	if have := t.permissions[permission]; permission != "metadata" && have != level && have != "write" {
		return nil, http.StatusForbidden
	}
	return t, http.StatusOK
}

func (s *Server) covers(in *installation, key string) bool {
	account, _, _ := strings.Cut(key, "/")
	return strings.EqualFold(account, in.account) && (in.all || slices.Contains(in.repos, key))
}

func pathID(r *http.Request) int64 {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64) // no id is 0, which nothing has
	return id
}
