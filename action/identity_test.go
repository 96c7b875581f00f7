package action_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// newIdentityStage is a step without a key on a runner that tells the workflow's identity, after so many failures.
func newIdentityStage(t *testing.T, failures int, status int) (s *stage, asked *int) {
	t.Helper()
	s, asked = newStage(t, succeeds("linux/amd64", "native", 'a')), new(int)
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		query := r.URL.Query()
		switch {
		case *asked <= failures:
			w.WriteHeader(status)
		case r.Header.Get("Authorization") != "Bearer runner-token" || query.Get("api-version") != "2" || query.Get("audience") != "https://farm.example.com":
			t.Errorf("the runner was asked %s by %q", r.URL, r.Header.Get("Authorization"))
			w.WriteHeader(http.StatusForbidden)
		default:
			_, _ = w.Write([]byte(`{"count": 1, "value": "header.identity.signature"}`))
		}
	}))
	t.Cleanup(runner.Close)
	delete(s.vars, "INPUT_KEY-ID")
	delete(s.vars, "INPUT_KEY-VALUE")
	delete(s.vars, "INPUT_REF")
	s.vars["INPUT_URL"] = "https://farm.example.com/"
	s.vars["GITHUB_REPOSITORY"], s.vars["GITHUB_SHA"] = "acme/widget", strings.Repeat("c", 40)
	s.vars["ACTIONS_ID_TOKEN_REQUEST_URL"] = runner.URL + "/token?api-version=2"
	s.vars["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "runner-token"
	return s, asked
}

// TestIdentity: without a key the workflow's identity is exchanged for one, which is masked and may be renewed.
func TestIdentity(t *testing.T) {
	t.Parallel()
	s, asked := newIdentityStage(t, 2, http.StatusBadGateway)
	s.vars["INPUT_ORGANIZATION"], s.vars["INPUT_VERSION"] = "acme", ""
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if *asked != 3 {
		t.Errorf("the runner was asked %d times, want 3", *asked)
	}
	if len(s.farm.exchanged) != 1 || s.farm.exchanged[0] != "https://farm.example.com/ header.identity.signature acme" {
		t.Errorf("exchanged %q", s.farm.exchanged)
	}
	text := s.out.String()
	if !strings.Contains(text, "::add-mask::run-secret-1\n") || strings.Contains(text, "header.identity") || strings.Count(text, "run-secret-1") != 1 {
		t.Errorf("secrets in the log:\n%s", text)
	}
	if s.farm.manifest != nil {
		t.Error("a workflow without a version changes the module's record; its key is not good for that")
	}
	if s.farm.request.Ref != strings.Repeat("c", 40) {
		t.Errorf("ref is %q: a key for a workflow run is good for its commit only", s.farm.request.Ref)
	}
	// The client asks for the first key, which is there, and later for another one.
	for _, want := range []string{"run-secret-1", "run-secret-2"} {
		key, err := s.farm.config.Renew(t.Context())
		if err != nil || key.Secret != want || key.KeyID != "run-1" {
			t.Errorf("key %+v, %v, want %s", key, err, want)
		}
	}
	if strings.Contains(s.out.String(), "run-secret-2") {
		t.Error("a renewed secret is printed; while a log is shown nothing masks it")
	}
}

func TestIdentityIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		failures, status int
		refuse           error
		asked            int
		want             []string
	}{
		"by the runner":     {9, http.StatusForbidden, nil, 1, []string{"get the workflow's identity from the runner", "403"}},
		"runner is down":    {9, http.StatusServiceUnavailable, nil, 5, []string{"503", "run the workflow again later"}},
		"by the farm":       {0, 0, &client.Error{Message: "acme/widget is not linked; link it with: modfarm"}, 1, []string{"log in to https://farm.example.com/ with the workflow's identity", "is not linked"}},
		"farm does not say": {0, 0, module.ErrForbidden, 1, []string{"not allowed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, asked := newIdentityStage(t, test.failures, test.status)
			s.farm.exchangeErr = test.refuse
			err := s.run(t.Context())
			if err == nil || errors.Is(err, module.ErrInvalid) || *asked != test.asked {
				t.Fatalf("error %v after %d questions, want %d", err, *asked, test.asked)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if s.farm.request.Repo != "" || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("a build was started, or the runner's address is told: %v", err)
			}
		})
	}
}
