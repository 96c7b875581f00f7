package githubtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Issuer is who signs the identities of workflow runs.
func (s *Server) Issuer() string { return s.URL + "/_oidc" }

// IDToken is the identity of a workflow run on a repository at a ref such as "refs/tags/v1.0.0". claims add to and
// replace what GitHub would say.
func (s *Server) IDToken(repo *Repo, ref, audience string, claims map[string]any) string {
	now := time.Now()
	refType := "branch"
	if len(ref) > 10 && ref[:10] == "refs/tags/" {
		refType = "tag"
	}
	sha, err := s.gitIn(repo.Git.Dir, "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if err != nil { // such as a pull request's, which only GitHub has
		sha, _ = s.gitIn(repo.Git.Dir, "rev-parse", "HEAD")
	}
	all := map[string]any{
		"iss": s.Issuer(), "aud": audience, "sub": "repo:" + repo.FullName() + ":ref:" + ref, "jti": guid(),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"repository": repo.FullName(), "repository_id": jsonNumber(repo.ID), "repository_owner": repo.Owner, "ref": ref, "ref_type": refType,
		"repository_owner_id": ownerNumber(repo.Owner), "sha": strings.TrimSpace(sha),
		"event_name": "push", "workflow": "deploy", "run_id": "1", "actor": "test",
		"job_workflow_ref": repo.FullName() + "/.github/workflows/deploy.yml@" + ref,
	}
	maps.Copy(all, claims)
	s.mu.Lock()
	key, kid := s.oidc, s.oidcKeyID()
	s.mu.Unlock()
	return signJWT(key, kid, all)
}

// RotateIssuerKey has the issuer sign with another key from now on, and list that one only.
func (s *Server) RotateIssuerKey() {
	s.tb.Helper()
	key := newKey(s.tb)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oidc = key
	s.rotations++
}

// oidcKeyID names the issuer's present key. The caller holds mu.
func (s *Server) oidcKeyID() string { return fmt.Sprintf("githubtest-%d", s.rotations+1) }

// ownerNumber is GitHub's number of an account.
func ownerNumber(owner string) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(strings.ToLower(owner)))), 10)
}

func jsonNumber(id int64) string { return big.NewInt(id).String() }

func signJWT(key *rsa.PrivateKey, kid string, claims map[string]any) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // maps of plain values
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": kid}) + "." + part(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]) // a good key signs
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (s *Server) oidcConfiguration(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": s.Issuer(), "jwks_uri": s.Issuer() + "/.well-known/jwks", "id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
	})
}

func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	public, kid := s.oidc.PublicKey, s.oidcKeyID()
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid,
		"n": base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
	}}})
}

// TokenRequest is what a runner gives a job with the permission id-token: write: ACTIONS_ID_TOKEN_REQUEST_URL and
// ACTIONS_ID_TOKEN_REQUEST_TOKEN.
func (s *Server) TokenRequest(repo *Repo, ref string) (url, token string) {
	return s.Issuer() + "/token?repository=" + repo.FullName() + "&ref=" + ref, "runner-" + s.App.WebhookSecret
}

func (s *Server) idTokenEndpoint(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	owner, name := splitFullName(query.Get("repository"))
	s.mu.Lock()
	repo := s.repos[repoKey(owner, name)]
	s.mu.Unlock()
	if credential(r) != "runner-"+s.App.WebhookSecret || repo == nil {
		problem(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	answer(w, http.StatusOK, map[string]any{"value": s.IDToken(repo, query.Get("ref"), query.Get("audience"), nil)})
}
