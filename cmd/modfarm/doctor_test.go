package main

import (
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/github/githubtest"
)

func TestDoctorOfAClient(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	said := p.run("doctor", "--no-docker")
	said.want(exitOK, "as the farm's", "")
	said.want(exitOK, p.farm.KeyID, "")
	said.want(exitOK, "modfarm github setup", "")
	said.want(exitOK, "skipped  identity   the farm trusts no issuer", "")

	p.env["MODFARM_KEY"] = "wrong"
	said = p.run("doctor", "--no-docker")
	said.want(exitFailed, "bad      key", "one thing is bad")
	said.want(exitFailed, "modfarm key create", "")

	p.env["MODFARM_URL"] = "http://127.0.0.1:1"
	p.run("doctor", "--no-docker").want(exitFailed, "modfarm up", "one thing is bad")
}

// TestDoctorOfIdentities: the farm says whether it can have the keys of those whose workflow runs it trusts.
func TestDoctorOfIdentities(t *testing.T) {
	t.Parallel()
	hub := githubtest.Start(t)
	const nowhere = "http://127.0.0.1:1/issuer"
	f := apitest.StartWith(t, apitest.Options{Issuers: []string{hub.Issuer(), nowhere}})
	p := &person{t: t, farm: f, env: map[string]string{"MODFARM_URL": f.URL, "MODFARM_KEY_ID": f.KeyID, "MODFARM_KEY": f.Key}}
	for range 2 { // the second time the issuer has answered a moment ago
		said := p.run("doctor", "--no-docker")
		said.want(exitOK, "ok       identity   workflow runs may prove themselves by "+hub.Issuer()+"\n", "")
		said.want(exitOK, "the keys of the issuer "+nowhere+" cannot be fetched", "")
		said.want(exitOK, "warning  identity", "")
		said.want(exitOK, "start it with --oidc-issuer none", "")
	}
}

func TestDoctorOfAWorker(t *testing.T) { // not parallel: it changes the environment
	p := newPerson(t)
	p.run("doctor", "--redis", "redis://127.0.0.1:1/0").want(exitFailed, "bad      redis", "")
	p.run("doctor").want(exitOK, "ok       engine     Docker", "")
	t.Run("without an engine", func(t *testing.T) {
		t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
		p.run("doctor").want(exitFailed, "DOCKER_HOST", "")
	})
}

func TestDoctorsClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for date, want := range map[string]string{
		"Fri, 02 Jan 2026 03:04:00 GMT": verdictOK,
		"Fri, 02 Jan 2026 03:03:00 GMT": verdictBad,
		"Fri, 02 Jan 2026 03:05:00 GMT": verdictBad,
		"":                              verdictSkipped,
	} {
		if got := clock(date, now); got.Verdict != want || (want == verdictBad) != strings.Contains(got.Mend, "timedatectl") {
			t.Errorf("%q: %+v, want %s", date, got, want)
		}
	}
}
