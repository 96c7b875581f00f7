package github_test

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what must be refused
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
)

func TestDeliveriesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook, secret := w.url+github.WebhookPath, w.gh.App.WebhookSecret
	good := `{"zen": "Keep it logically awesome."}`
	header := func(body string) map[string]string {
		return map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-GitHub-Delivery": "11111111-2222-3333-4444-555555555555",
			"X-Hub-Signature-256": githubtest.Sign(secret, []byte(body)),
		}
	}
	without := func(names ...string) map[string]string {
		h := header(good)
		for _, name := range names {
			delete(h, name)
		}
		return h
	}
	with := func(name, value string) map[string]string {
		h := header(good)
		h[name] = value
		return h
	}
	old := hmac.New(sha1.New, []byte(secret))
	_, _ = old.Write([]byte(good))
	sha1Only := without("X-Hub-Signature-256")
	sha1Only["X-Hub-Signature"] = "sha1=" + hex.EncodeToString(old.Sum(nil))
	huge := strings.Repeat(" ", 30<<20)
	for name, c := range map[string]struct {
		body   string
		header map[string]string
		status int
		says   string
	}{
		"unsigned":         {good, without("X-Hub-Signature-256"), http.StatusUnauthorized, "webhook secret"},
		"wrongly signed":   {good, with("X-Hub-Signature-256", githubtest.Sign("another", []byte(good))), http.StatusUnauthorized, "signature is wrong"},
		"signed for other": {good + " ", header(good), http.StatusUnauthorized, "signature is wrong"},
		"half a signature": {good, with("X-Hub-Signature-256", "sha256=abc"), http.StatusUnauthorized, "signature is wrong"},
		"SHA-1 signed":     {good, sha1Only, http.StatusUnauthorized, "SHA-1 signatures are not taken"},
		"30 MB":            {huge, header(huge), http.StatusRequestEntityTooLarge, "larger than 26214400 bytes"},
		"not JSON":         {"hello", header("hello"), http.StatusBadRequest, "not a JSON object"},
		"a list":           {"[]", header("[]"), http.StatusBadRequest, "not a JSON object"},
		"a form":           {good, with("Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType, "application/json"},
		"no event":         {good, without("X-GitHub-Event"), http.StatusBadRequest, "X-GitHub-Event"},
		"no id":            {good, without("X-GitHub-Delivery"), http.StatusBadRequest, "X-GitHub-Delivery"},
		"a strange id":     {good, with("X-GitHub-Delivery", "../../etc/passwd"), http.StatusBadRequest, "X-GitHub-Delivery"},
	} {
		status, body := request(t, http.MethodPost, hook, c.body, c.header)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s; want %d with %q", name, status, body, c.status, c.says)
		}
	}
	if status := statusOf(t, hook); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	if list := w.deliveries(); len(list) != 0 {
		t.Errorf("refused deliveries are stored: %+v", list)
	}

	for range 2 { // the second is a replay
		if status, body := request(t, http.MethodPost, hook, good, header(good)); status != http.StatusAccepted {
			t.Errorf("a good one: %d %s", status, body)
		}
	}
	if list := w.deliveries(); len(list) != 1 || list[0].Event != "ping" {
		t.Errorf("deliveries: %+v", list)
	}
}

func TestPayloadsOfOtherEventsDoNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, event := range []string{"push", "create", "release", "installation", "installation_repositories", "repository"} {
		w.gh.Send(event, map[string]any{"zen": "a ping's payload"})
	}
	for _, event := range []string{"check_run", "check_suite"} {
		w.gh.Send(event, map[string]any{"action": "rerequested"})
	}
	w.gh.Send("marketplace_purchase", map[string]any{"action": "purchased"})
	w.gh.Send("ping", map[string]any{"zen": "one that is right"})
	w.eventually("all to be acted on", func() bool {
		list := w.deliveries()
		for _, d := range list {
			if d.DoneAt.IsZero() {
				return false
			}
		}
		return len(list) == 10
	})
	for _, d := range w.deliveries() {
		want := "the payload is not that of this event"
		switch d.Event {
		case "ping":
			want = "the webhook works"
		case "marketplace_purchase":
			want = "nothing is done for this event"
		}
		if !strings.Contains(d.Outcome, want) {
			t.Errorf("%s: %s", d.Event, d.Outcome)
		}
	}
}

func TestASecretIsReplacedWithoutLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.gh.App.WebhookSecret
	w.must(w.owner.AddGitHubWebhookSecret(t.Context(), "a new secret of some length"))
	for _, secret := range []string{before, "a new secret of some length"} {
		body := fmt.Sprintf(`{"zen": %q}`, secret[:4])
		status, text := request(t, http.MethodPost, w.url+github.WebhookPath, body, map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-GitHub-Delivery": "aaaaaaaa-" + hex.EncodeToString([]byte(secret[:4])),
			"X-Hub-Signature-256": githubtest.Sign(secret, []byte(body)),
		})
		if status != http.StatusAccepted {
			t.Errorf("%d %s", status, text)
		}
	}
}

// A thousand deliveries over a hundred connections are all stored; how fast that is, is measured elsewhere.
func TestManyDeliveriesAtOnce(t *testing.T) {
	onEach(t, func(w *world) {
		t := w.t
		const connections, each = 100, 10
		body := `{"zen": "many"}`
		signature := githubtest.Sign(w.gh.App.WebhookSecret, []byte(body))
		var all sync.WaitGroup
		for c := range connections {
			all.Go(func() {
				for i := range each {
					status, text := request(t, http.MethodPost, w.url+github.WebhookPath, body, map[string]string{
						"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-Hub-Signature-256": signature,
						"X-GitHub-Delivery": fmt.Sprintf("00000000-%04d-%04d", c, i),
					})
					if status != http.StatusAccepted {
						t.Errorf("%d: %s", status, text)
					}
				}
			})
		}
		all.Wait()
		if n := len(w.deliveries()); n != connections*each {
			t.Errorf("%d deliveries are stored, want %d", n, connections*each)
		}
	})
}
