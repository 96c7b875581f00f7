package github_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/github/githubtest"
)

// The page tells before the button what GitHub is asked for, all of it, and brings nothing from elsewhere.
func TestTheSetupPageTellsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link, err := w.owner.BeginGitHubSetup(t.Context(), "Acme <builds>", "acme", w.gh.URL)
	w.must(err)
	page := get(t, link)
	var manifest struct {
		Permissions map[string]string `json:"default_permissions"`
		Events      []string          `json:"default_events"`
		Hook        struct{ URL string }
	}
	w.must(json.Unmarshal([]byte(attribute(t, page, `name="manifest" value="`)), &manifest))
	if len(manifest.Permissions) == 0 || len(manifest.Events) == 0 {
		t.Fatalf("the manifest asks for nothing: %+v", manifest)
	}
	visible, _, _ := strings.Cut(page, "<form")
	for name, access := range manifest.Permissions {
		if !strings.Contains(visible, name+": "+access) {
			t.Errorf("the page does not say %s: %s", name, access)
		}
	}
	for _, want := range append(manifest.Events, "Acme &lt;builds&gt;", "the organization acme", w.url+github.WebhookPath, `aria-current="step">Make`) {
		if !strings.Contains(visible, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	for _, foreign := range []string{"<script", "<link", "<img", "@import", "url("} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %s, which its policy forbids", foreign)
		}
	}
}

// A farm that GitHub cannot reach gets an App without a webhook, which GitHub would refuse, and builds what it finds
// when it compares the tags. Nobody can deliver anything to it.
func TestAnAppWithoutAWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.gh.Deliver("")
	link, err := w.owner.BeginGitHubSetup(t.Context(), "Acme builds", "acme", "https://github.com")
	w.must(err)
	page := get(t, link)
	manifest := attribute(t, page, `name="manifest" value="`)
	if strings.Contains(manifest, "hook_attributes") || strings.Contains(manifest, "default_events") || !strings.Contains(page, "gets no webhook") {
		t.Errorf("the farm on loopback asks github.com for a webhook:\n%s", page)
	}

	link, err = w.owner.BeginGitHubSetup(t.Context(), "Acme builds", "acme", w.gh.URL)
	w.must(err)
	_, back := request(t, http.MethodPost, attribute(t, get(t, link), `action="`), form("manifest", manifest),
		map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	if done := get(t, back); !strings.Contains(done, "is set up") || !strings.Contains(done, "modfarm module create NAMESPACE:NAME\n") {
		t.Fatalf("the last page:\n%s", done)
	}
	status, text := request(t, http.MethodPost, w.url+github.WebhookPath, `{"zen": "forged"}`, map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-GitHub-Delivery": "11111111-2222-3333-4444-555555555555",
		"X-Hub-Signature-256": githubtest.Sign("", []byte(`{"zen": "forged"}`)),
	})
	if status != http.StatusNotFound || !strings.Contains(text, "no webhook") {
		t.Errorf("a delivery signed with an empty secret: %d %s", status, text)
	}

	repo := w.gh.NewRepo("acme", "widget", false)
	repo.Commit(map[string]string{"meta.json": meta("acme:widget"), "main.c": "int main(void) { return 0; }\n"})
	w.module("widget")
	w.gh.Install("acme", "widget")
	if _, err := w.github.Sync(t.Context(), ""); err != nil {
		t.Errorf("the first comparison: %v", err)
	}
	repo.Tag(false, "v1.0.0")
	if swept, err := w.owner.SyncGitHub(t.Context()); err != nil || swept.Tags != 1 {
		t.Errorf("the second comparison found %d tags: %v", swept.Tags, err)
	}
	w.publish(w.claim())
	w.check(repo, "success")
}
