package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// claims are those of a workflow run's token that matter here.
type claims struct {
	Audience     audience `json:"aud"`
	Expiry       seconds  `json:"exp"`
	NotBefore    seconds  `json:"nbf"`
	IssuedAt     seconds  `json:"iat"`
	TokenID      string   `json:"jti"`
	Repository   string   `json:"repository"`
	RepositoryID string   `json:"repository_id"`
	OwnerID      string   `json:"repository_owner_id"`
	Ref          string   `json:"ref"`
	SHA          string   `json:"sha"`
	Event        string   `json:"event_name"`
	JobWorkflow  string   `json:"job_workflow_ref"`
	RunID        string   `json:"run_id"`
	Actor        string   `json:"actor"`
}

// seconds is a time as tokens spell it, in seconds since 1970; zero is absent.
type seconds float64

func (s seconds) text() string { return time.Unix(int64(s), 0).UTC().Format(time.RFC3339) }

// audience is one name or several.
type audience []string

// UnmarshalJSON takes both.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// peekIssuer reads who says that it signed a token. Nothing is checked yet.
func peekIssuer(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxToken {
		return "", errNotToken("it has not the three parts of a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", errNotToken("its second part is not base64")
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", errNotToken("its second part is not JSON")
	}
	return c.Issuer, nil
}

func errNotToken(why string) error {
	return fmt.Errorf("%w: the id token cannot be read, %s: send what the code host answered, unchanged", module.ErrUnauthorized, why)
}

// checkTimes holds the token's times against the farm's clock.
func (c claims) checkTimes(now time.Time) error {
	at := func(s seconds) time.Time { return time.Unix(int64(s), 0) }
	clock := "; the farm's clock says " + now.UTC().Format(time.RFC3339)
	switch {
	case c.Expiry == 0:
		return wrong("exp", "", "it has to be there")
	case !now.Before(at(c.Expiry).Add(leeway)):
		return wrong("exp", c.Expiry.text(), "the token has expired"+clock+"; ask for a new one")
	case c.NotBefore != 0 && now.Add(leeway).Before(at(c.NotBefore)):
		return wrong("nbf", c.NotBefore.text(), "the token is not good yet"+clock)
	case c.IssuedAt == 0:
		return wrong("iat", "", "it has to be there")
	case now.Add(leeway).Before(at(c.IssuedAt)):
		return wrong("iat", c.IssuedAt.text(), "the token was made in the future"+clock)
	case at(c.Expiry).Sub(at(c.IssuedAt)) > longestLife:
		return wrong("exp", c.Expiry.text(), "the token is good for more than "+longestLife.String()+" after its iat")
	}
	return nil
}

var (
	repositoryName = regexp.MustCompile(`^[\w.-]{1,100}/[\w.-]{1,100}$`)
	number         = regexp.MustCompile(`^[0-9]{1,20}$`)
	commitID       = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// complete says which claim of a workflow run is missing or malformed.
func (c claims) complete() error {
	for _, need := range []struct {
		claim, value string
		ok           bool
	}{
		{"jti", c.TokenID, c.TokenID != "" && len(c.TokenID) <= 200},
		{"repository", c.Repository, repositoryName.MatchString(c.Repository)},
		{"repository_id", c.RepositoryID, number.MatchString(c.RepositoryID)},
		{"repository_owner_id", c.OwnerID, number.MatchString(c.OwnerID)},
		{"ref", c.Ref, strings.HasPrefix(c.Ref, "refs/") && len(c.Ref) <= 250},
		{"sha", c.SHA, commitID.MatchString(c.SHA)},
		{"event_name", c.Event, c.Event != ""},
		{"job_workflow_ref", c.JobWorkflow, c.JobWorkflow != ""},
	} {
		if !need.ok {
			return wrong(need.claim, need.value, "the identity of a workflow run has it; is the token one of another kind?")
		}
	}
	return nil
}

// algorithm is what the header of a token says; empty when it cannot be read.
func algorithm(token string) string {
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var h struct {
		Algorithm string `json:"alg"`
	}
	if err = errors.Join(err, json.Unmarshal(text, &h)); err != nil {
		return ""
	}
	return h.Algorithm
}
