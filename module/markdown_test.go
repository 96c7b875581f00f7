package module_test

import (
	"testing"

	"github.com/modfarm/modfarm/module"
)

func TestMarkdownSection(t *testing.T) {
	t.Parallel()
	const text = "# Widget & Co.\n\nintro\n\n## Model  `acme:widget:indoor`\n\nfirst\n\n### Attributes\n\na\n\n" +
		"```sh\n# no heading\n```\n\n## Attributes ##\r\n\nsecond\n\n## über -- Maß\nlast"
	for anchor, want := range map[string]string{
		"widget-co": "intro\n\n## Model  `acme:widget:indoor`\n\nfirst\n\n### Attributes\n\na\n\n```sh\n# no heading\n```\n\n" +
			"## Attributes ##\r\n\nsecond\n\n## über -- Maß\nlast",
		"model-acmewidgetindoor": "first\n\n### Attributes\n\na\n\n```sh\n# no heading\n```",
		"attributes":             "a\n\n```sh\n# no heading\n```",
		"attributes-1":           "second",
		"über-maß":               "last",
	} {
		got, ok := module.MarkdownSection(text, anchor)
		if !ok || got != want {
			t.Errorf("%s: %t\n%q, want\n%q", anchor, ok, got, want)
		}
	}
	for _, anchor := range []string{"", "no-heading", "attributes-2", "Attributes"} {
		if got, ok := module.MarkdownSection(text, anchor); ok {
			t.Errorf("%q names %q", anchor, got)
		}
	}
	if got, ok := module.MarkdownSection("## Empty\n## Next\n", "empty"); !ok || got != "" {
		t.Errorf("empty section: %q, %t", got, ok)
	}
}
