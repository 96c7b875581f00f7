package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/oidc"
)

const audience = "https://farm.example.com"

// testIssuer signs what it is asked to, with a key of either kind.
type testIssuer struct {
	url string

	mu       sync.Mutex
	rsa      *rsa.PrivateKey
	ec       *ecdsa.PrivateKey
	rotated  int
	requests map[string]int
	document string // which misbehaves
	trouble  http.HandlerFunc
}

func startIssuer(t *testing.T) *testIssuer {
	t.Helper()
	s := &testIssuer{rsa: newRSA(t), requests: map[string]int{}}
	var err error
	if s.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *testIssuer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests[r.URL.Path]++
	trouble := s.trouble
	if s.document != r.URL.Path {
		trouble = nil
	}
	public, ec, kid := s.rsa.PublicKey, s.ec.PublicKey, s.kid()
	s.mu.Unlock()
	if trouble != nil {
		trouble(w, r)
		return
	}
	var document any = map[string]any{"issuer": s.url, "jwks_uri": s.url + "/keys"}
	if r.URL.Path == "/keys" {
		point, err := ec.Bytes() // 4, x, y
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		document = map[string]any{"keys": []map[string]string{
			{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": b64(public.N.Bytes()), "e": b64(big.NewInt(int64(public.E)).Bytes())},
			{"kty": "EC", "alg": "ES256", "use": "sig", "kid": "ec-1", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
		}}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document) // the caller has gone
}

// kid names the present RSA key. The caller holds mu.
func (s *testIssuer) kid() string { return fmt.Sprintf("rsa-%d", s.rotated+1) }

func (s *testIssuer) rotate() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rsa = key
	s.rotated++
}

// misbehave has a document be answered otherwise; empty ends that.
func (s *testIssuer) misbehave(document string, trouble http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.document, s.trouble = document, trouble
}

func (s *testIssuer) asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[path]
}

func (s *testIssuer) verifier(t *testing.T) *oidc.Verifier {
	t.Helper()
	v, err := oidc.New(audience+"/", []string{s.url})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// claims are those of a run; more replaces some, nil removes them.
func (s *testIssuer) claims(more map[string]any) []byte {
	now := time.Now()
	all := map[string]any{
		"iss": s.url, "aud": audience, "sub": "repo:acme/widget:ref:refs/tags/v1.2.3", "jti": "token-1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"repository": "acme/widget", "repository_id": "1", "repository_owner_id": "2", "ref": "refs/tags/v1.2.3", "sha": strings.Repeat("a", 40),
		"event_name": "push", "job_workflow_ref": "acme/widget/.github/workflows/deploy.yml@refs/tags/v1.2.3", "run_id": "7", "actor": "ann",
	}
	for name, value := range more {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return text
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func unsignedPart(alg, kid string, claims []byte) string {
	return b64(fmt.Appendf(nil, `{"alg":%q,"typ":"JWT","kid":%q}`, alg, kid)) + "." + b64(claims)
}

func (s *testIssuer) rs256(claims []byte) string {
	s.mu.Lock()
	kid := s.kid()
	s.mu.Unlock()
	return s.signRSA(kid, claims)
}

func (s *testIssuer) signRSA(kid string, claims []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := unsignedPart("RS256", kid, claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.rsa, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return text + "." + b64(signature)
}

func (s *testIssuer) es256(claims []byte) string { return s.signEC("ES256", claims) }

// confused is a signature of the EC key that says it was RSA's.
func (s *testIssuer) confused(claims []byte) string { return s.signEC("RS256", claims) }

func (s *testIssuer) signEC(alg string, claims []byte) string {
	text := unsignedPart(alg, "ec-1", claims)
	digest := sha256.Sum256([]byte(text))
	a, b, err := ecdsa.Sign(rand.Reader, s.ec, digest[:])
	if err != nil {
		panic(err)
	}
	return text + "." + b64(append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...))
}

func (s *testIssuer) unsigned(claims []byte) string {
	return unsignedPart("none", "rsa-1", claims) + "."
}

// hs256 is signed with the public key as a shared secret, which everybody has.
func (s *testIssuer) hs256(claims []byte) string {
	der, err := x509.MarshalPKIXPublicKey(&s.rsa.PublicKey)
	if err != nil {
		panic(err)
	}
	text := unsignedPart("HS256", "rsa-1", claims)
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}
