package github_test

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func request(t *testing.T, method, url, body string, header map[string]string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	client := &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if to := answer.Header.Get("Location"); to != "" {
		return answer.StatusCode, to
	}
	return answer.StatusCode, string(text)
}

func get(t *testing.T, url string) string {
	t.Helper()
	_, body := request(t, http.MethodGet, url, "", nil)
	return body
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	status, _ := request(t, http.MethodGet, url, "", nil)
	return status
}

// attribute is the value of the first attribute that begins so.
func attribute(t *testing.T, page, begin string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, begin)
	value, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		t.Fatalf("the page has no %s:\n%s", begin, page)
	}
	return html.UnescapeString(value)
}

func form(name, value string) string { return url.Values{name: {value}}.Encode() }
