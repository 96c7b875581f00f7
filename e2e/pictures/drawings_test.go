package pictures_test

import (
	"html"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/farm/github/githubtest"
)

// drawCreate is GitHub's page on which the App gets its name.
func drawCreate(m manifest) []byte {
	c := newCanvas("GitHub's page on which the App is made, as a drawing")
	c.header("Create GitHub App for acme")
	c.text(margin, c.y, "bold", "GitHub App name")
	c.y += 12
	c.box(margin, c.y, 340, 34, "field")
	c.text(margin+12, c.y+22, "", m.Name)
	c.y += 56
	c.button(margin, "Create GitHub App for acme")
	c.rule(c.y)
	c.y += 28
	c.text(margin, c.y, "bold", "What the farm asks for, filled in already")
	c.y += 28
	c.row("Permissions", permissions(m))
	c.row("Events", strings.Join(m.Events, ", "))
	c.row("Webhook", m.Hook.URL)
	return c.finish()
}

func permissions(m manifest) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m.Permissions)) {
		list = append(list, name+": "+m.Permissions[name])
	}
	return strings.Join(list, ", ")
}

// drawInstall is GitHub's page on which the repositories are chosen.
func drawInstall(m manifest) []byte {
	c := newCanvas("GitHub's page on which the App is installed, as a drawing")
	c.header("Install " + m.Name)
	c.text(margin, c.y, "", "Install on your organization acme")
	c.y += 30
	for _, choice := range []string{"All repositories", "Only select repositories"} {
		c.raw(`<circle cx="%d" cy="%d" r="7" class="field"/>`, margin+8, c.y-5)
		if strings.HasPrefix(choice, "Only") {
			c.raw(`<circle cx="%d" cy="%d" r="4" class="ok"/>`, margin+8, c.y-5)
		}
		c.text(margin+26, c.y, "", choice)
		c.y += 26
	}
	c.box(margin+26, c.y-12, 200, 34, "field")
	c.text(margin+38, c.y+10, "bold", "acme/widget")
	c.y += 48
	c.text(margin, c.y, "bold", "with these permissions")
	c.y += 24
	for _, access := range []string{"read", "write"} {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(m.Permissions)) {
			if m.Permissions[name] == access {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			c.text(margin, c.y, "", "✓ "+access+" access to "+strings.Join(names, " and "))
			c.y += lineStep
		}
	}
	c.y += 12
	c.button(margin, "Install")
	return c.finish()
}

// drawChecks is what a commit shows while its tag is built.
func drawChecks(tag string, runs []githubtest.CheckRun) []byte {
	c := newCanvas("The checks of a commit while its tag is built, as a drawing")
	c.header("acme/widget, tag " + tag)
	for _, run := range runs {
		c.status(margin+10, c.y-5, state(run))
		c.text(margin+34, c.y, "bold", run.Name)
		c.text(margin+330, c.y, "soft", steady(run.Output.Title))
		c.text(cardWidth-margin-46, c.y, "link", "Details")
		c.y += 18
		c.rule(c.y)
		c.y += 30
	}
	c.y -= 30
	return c.finish()
}

func state(run githubtest.CheckRun) string {
	if run.Conclusion != "" {
		return run.Conclusion
	}
	return run.Status
}

// drawRun is a check run by itself: what it says, and its remarks on lines.
func drawRun(title string, run githubtest.CheckRun) []byte {
	c := newCanvas(title)
	c.header(run.Name)
	c.status(margin+10, c.y-5, state(run))
	c.text(margin+34, c.y, "bold", steady(run.Output.Title))
	c.y += 32
	for line := range strings.Lines(steady(run.Output.Summary)) {
		drawMarkdown(c, strings.TrimSpace(line))
	}
	for _, a := range run.Annotations {
		c.y += 10
		wrapped := wrap(a.Message, lineChars-6)
		c.box(margin, c.y-8, cardWidth-2*margin, 34+lineStep*len(wrapped), "bad")
		c.text(margin+14, c.y+14, "mono", a.Path+", line "+itoa(a.StartLine)+" ("+a.Title+")")
		c.y += 14 + lineStep
		c.lines(margin+14, "bold", a.Message, lineChars-6)
		c.y += 16
	}
	c.y += 4
	return c.finish()
}

var (
	tableRule  = regexp.MustCompile(`^\|?[\s|:-]*$`)
	markRule   = regexp.MustCompile("[`*]|^#+ ")
	escapeRule = regexp.MustCompile(`\\([\[\]!|])`)
)

// drawMarkdown draws a line of what check runs are written in: a row of a table with two columns, or words.
func drawMarkdown(c *canvas, line string) {
	plain := func(s string) string {
		s = strings.ReplaceAll(html.UnescapeString(escapeRule.ReplaceAllString(s, "$1")), "\u200b", "")
		return strings.TrimSpace(markRule.ReplaceAllString(s, ""))
	}
	name, value, row := strings.Cut(strings.Trim(line, "|"), " | ")
	switch {
	case line == "":
		c.y += 6
	case tableRule.MatchString(line):
	case row && strings.HasPrefix(line, "|"):
		c.row(plain(name), plain(value))
	default:
		c.lines(margin, "", plain(line), lineChars)
	}
}

// steadied are the parts of a text that differ each time, and what the drawings show in their place.
func steadied() []struct {
	rule *regexp.Regexp
	text string
} {
	return []struct {
		rule *regexp.Regexp
		text string
	}{
		{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+s\b`), "48s"},
		{regexp.MustCompile(`\b\d\d:\d\d:\d\d UTC`), "09:41:07 UTC"},
		{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"},
		{regexp.MustCompile(`\b\d+(\.\d+)? ?k?B\b`), "2.4MB"},
		{regexp.MustCompile(`\b[0-9a-f]{40}\b`), "8b1a9953c4611296a827abf8c47804d7d0a1b2c3"},
		{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "5f6d2f0e-7c1d-4f6e-9a37-0d2c6a2b9f11"},
	}
}

// steady is a text without what differs each time.
func steady(text string) string {
	for _, s := range steadied() {
		text = s.rule.ReplaceAllString(text, s.text)
	}
	return text
}
