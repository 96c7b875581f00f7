package main

import (
	"strings"
	"testing"
	"time"
)

func TestDoctorOfAClient(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	said := p.run("doctor", "--no-docker")
	said.want(exitOK, "as the farm's", "")
	said.want(exitOK, p.farm.KeyID, "")
	said.want(exitOK, "modfarm github setup", "")

	p.env["MODFARM_KEY"] = "wrong"
	said = p.run("doctor", "--no-docker")
	said.want(exitFailed, "bad      key", "one thing is bad")
	said.want(exitFailed, "modfarm key create", "")

	p.env["MODFARM_URL"] = "http://127.0.0.1:1"
	p.run("doctor", "--no-docker").want(exitFailed, "modfarm up", "one thing is bad")
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
