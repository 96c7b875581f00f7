package oidc_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/oidc"
	"github.com/modfarm/modfarm/module"
)

// TestVerify is a good token, of either algorithm, and times that are off by less than a minute.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := startIssuer(t)
	v := s.verifier(t)
	now := time.Now()
	for name, token := range map[string]string{
		"RS256": s.rs256(s.claims(nil)),
		"ES256": s.es256(s.claims(nil)),
		"clocks that differ": s.rs256(s.claims(map[string]any{
			"nbf": now.Add(40 * time.Second).Unix(), "iat": now.Add(40 * time.Second).Unix(), "exp": now.Add(41 * time.Second).Unix(),
		})),
		"just expired":  s.rs256(s.claims(map[string]any{"exp": now.Add(-30 * time.Second).Unix()})),
		"a list of one": s.rs256(s.claims(map[string]any{"aud": []string{audience}})),
		"without nbf":   s.rs256(s.claims(map[string]any{"nbf": nil})),
	} {
		run, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := oidc.Run{
			Issuer: s.url, TokenID: "token-1", ExpiresAt: run.ExpiresAt, Repository: s.url + "/acme/widget", RepositoryNumber: "1", OwnerNumber: "2",
			Ref: "refs/tags/v1.2.3", Commit: strings.Repeat("a", 40), Event: "push", JobWorkflow: "acme/widget/.github/workflows/deploy.yml@refs/tags/v1.2.3",
			ID: "7", Actor: "ann",
		}
		if run != want {
			t.Errorf("%s: %+v", name, run)
		}
	}
	if n := s.asked("/keys"); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// TestWrongTokens: each says which claim was wrong, and none of them is accepted.
func TestWrongTokens(t *testing.T) {
	t.Parallel()
	s := startIssuer(t)
	other := startIssuer(t)
	v := s.verifier(t)
	now := time.Now()
	good := s.rs256(s.claims(nil))
	parts := strings.Split(good, ".")
	with := func(more map[string]any) string { return s.rs256(s.claims(more)) }
	for name, tt := range map[string]struct{ token, says string }{
		"no token":            {"mfk_abc", "three parts"},
		"garbage":             {"a.b.c", "cannot be read"},
		"huge":                {good + strings.Repeat("a", 32<<10), "cannot be read"},
		"no JSON":             {parts[0] + "." + b64([]byte("widget")) + "." + parts[2], "not JSON"},
		"another issuer":      {other.rs256(other.claims(nil)), "claim iss of the id token is \"" + other.url},
		"a foreign signature": {other.rs256(s.claims(nil)), "not signed by " + s.url},
		"changed claims":      {parts[0] + "." + b64(s.claims(map[string]any{"repository": "mallory/widget"})) + "." + parts[2], "not signed by"},
		"no signature":        {parts[0] + "." + parts[1] + ".", "not signed by"},
		"alg none":            {s.unsigned(s.claims(nil)), `algorithm "none"`},
		"alg None":            {b64([]byte(`{"alg":"None","kid":"rsa-1"}`)) + "." + parts[1] + ".", `algorithm "None"`},
		"HS256 by public key": {s.hs256(s.claims(nil)), `algorithm "HS256"`},
		"RS256 by an EC key":  {s.confused(s.claims(nil)), "not signed by"},
		"unknown kid":         {s.signRSA("rsa-9", s.claims(nil)), "not signed by"},
		"another audience":    {with(map[string]any{"aud": "https://other.example.com"}), `aud of the id token is "https://other.example.com": ask for a token with the audience ` + audience},
		"the host alone":      {with(map[string]any{"aud": "farm.example.com"}), "claim aud"},
		"two audiences":       {with(map[string]any{"aud": []string{audience, "https://other.example.com"}}), "claim aud"},
		"no audience":         {with(map[string]any{"aud": nil}), "claim aud"},
		"expired":             {with(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}), "claim exp"},
		"no end":              {with(map[string]any{"exp": nil}), "claim exp"},
		"endless":             {with(map[string]any{"exp": now.Add(48 * time.Hour).Unix()}), "claim exp"},
		"not yet":             {with(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}), "claim nbf"},
		"of the future":       {with(map[string]any{"iat": now.Add(2 * time.Minute).Unix()}), "claim iat"},
		"no iat":              {with(map[string]any{"iat": nil}), "claim iat"},
		"a time as text":      {with(map[string]any{"exp": "tomorrow"}), "cannot be read"},
		"no jti":              {with(map[string]any{"jti": nil}), "claim jti"},
		"no repository":       {with(map[string]any{"repository": nil}), "claim repository "},
		"a path":              {with(map[string]any{"repository": "acme/../mallory/widget"}), "claim repository "},
		"no repository_id":    {with(map[string]any{"repository_id": nil}), "claim repository_id"},
		"no owner":            {with(map[string]any{"repository_owner_id": ""}), "claim repository_owner_id"},
		"no ref":              {with(map[string]any{"ref": nil}), "claim ref"},
		"a short ref":         {with(map[string]any{"ref": "v1.2.3"}), "claim ref"},
		"no sha":              {with(map[string]any{"sha": "main"}), "claim sha"},
		"no event":            {with(map[string]any{"event_name": nil}), "claim event_name"},
		"no workflow":         {with(map[string]any{"job_workflow_ref": nil}), "claim job_workflow_ref"},
	} {
		_, err := v.Verify(t.Context(), tt.token)
		if !errors.Is(err, module.ErrUnauthorized) || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.asked("/keys"); n > 3 {
		t.Errorf("wrong tokens had the keys fetched %d times", n)
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("a good token after them: %v", err)
	}
}

// TestRotation: a key that is new at the issuer is found, and asked for no more often than allowed.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := startIssuer(t)
	v := s.verifier(t)
	v.Again = 100 * time.Millisecond
	if _, err := v.Verify(t.Context(), s.rs256(s.claims(nil))); err != nil {
		t.Fatal(err)
	}
	old := s.rs256(s.claims(nil))
	s.rotate()
	apitest.Eventually(t, "the new key is known", func() bool {
		_, err := v.Verify(t.Context(), s.rs256(s.claims(nil)))
		return err == nil
	})
	if _, err := v.Verify(t.Context(), old); !errors.Is(err, module.ErrUnauthorized) {
		t.Errorf("a token of the key that went: %v", err)
	}
}

// TestIssuerInTrouble: an issuer that is away, slow, or answers nonsense is no fault of the token, and once it is well
// again tokens are accepted. Tokens of keys that are known are accepted all the while.
func TestIssuerInTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(http.ResponseWriter, *http.Request){
		"down":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"slow":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"nonsense": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys": [`, strings.Repeat(" ", 2<<20), `]}`)
		},
	} {
		for _, document := range []string{"/.well-known/openid-configuration", "/keys"} {
			t.Run(name+document, func(t *testing.T) {
				t.Parallel()
				s := startIssuer(t)
				v := s.verifier(t)
				v.Again = 50 * time.Millisecond
				v.HTTP = &http.Client{Timeout: 500 * time.Millisecond, CheckRedirect: func(*http.Request, []*http.Request) error {
					return errors.New("not followed")
				}}
				s.misbehave(document, trouble)
				_, err := v.Verify(t.Context(), s.rs256(s.claims(nil)))
				if !errors.Is(err, module.ErrUnavailable) || !strings.Contains(err.Error(), s.url) {
					t.Errorf("in trouble: %v", err)
				}
				if err := v.Check(t.Context(), s.url); !errors.Is(err, module.ErrUnavailable) {
					t.Errorf("checked in trouble: %v", err)
				}
				s.misbehave("", nil)
				apitest.Eventually(t, "the issuer is well again", func() bool {
					_, err := v.Verify(t.Context(), s.rs256(s.claims(nil)))
					return err == nil
				})
				s.misbehave(document, trouble)
				if _, err := v.Verify(t.Context(), s.rs256(s.claims(nil))); err != nil {
					t.Errorf("a key that is known: %v", err)
				}
			})
		}
	}
}

// TestFewRequests: ten thousand tokens of a key that does not exist make the issuer no trouble.
func TestFewRequests(t *testing.T) {
	t.Parallel()
	s := startIssuer(t)
	v := s.verifier(t)
	v.Again = time.Hour
	token := s.signRSA("rsa-9", s.claims(nil))
	for range 10_000 {
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, module.ErrUnauthorized) {
			t.Fatal(err)
		}
	}
	if n := s.asked("/keys"); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// TestIssuers are the addresses that are trusted, and where their repositories are.
func TestIssuers(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "github.com", "http://farm.example.com", "ftp://github.com", "https://ann:secret@github.com", "https://github.com/", "https://github.com?x=1",
	} {
		_, err := oidc.New(audience, []string{bad})
		if !errors.Is(err, module.ErrInvalid) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if v, err := oidc.New(audience, nil); v != nil || err != nil {
		t.Errorf("no issuers: %v, %v", v, err)
	}
	for issuer, want := range map[string]string{
		oidc.GitHub:           "https://github.com",
		oidc.GitHub + "/acme": "https://github.com",
		"https://ghe.example.com/_services/token": "https://ghe.example.com",
		"https://token.actions.acme.ghe.com":      "https://acme.ghe.com",
		"http://127.0.0.1:8080/_oidc":             "http://127.0.0.1:8080",
	} {
		if got := oidc.HostOf(issuer); got != want {
			t.Errorf("the repositories of %s are at %s, not %s", issuer, got, want)
		}
	}
}
