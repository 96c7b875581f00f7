package module

import (
	"regexp"
	"strconv"
	"strings"
)

// MarkdownSection returns the text below the heading that an anchor names, up to
// the next heading of the same or a higher level, without the heading itself. The
// anchor is made of the heading as code hosts do: in lower case, with hyphens for
// spaces and without punctuation; a repeated heading has "-1", "-2", … behind it.
// ok is false when no heading has that anchor.
func MarkdownSection(text, anchor string) (section string, ok bool) {
	var body []string
	level := 0 // of the heading that was found
	seen := map[string]int{}
	fence := ""
	for line := range strings.Lines(text) {
		fence = fenceAfter(fence, line)
		depth, title := 0, ""
		if fence == "" {
			depth, title = heading(line)
		}
		switch {
		case depth > 0 && level > 0 && depth <= level:
			return strings.TrimSpace(strings.Join(body, "")), true
		case level > 0:
			body = append(body, line)
		}
		if depth > 0 && level == 0 {
			slug := anchorOf(title)
			if n := seen[slug]; n > 0 {
				seen[slug]++
				slug += "-" + strconv.Itoa(n)
			} else {
				seen[slug] = 1
			}
			if slug == anchor {
				level = depth
			}
		}
	}
	return strings.TrimSpace(strings.Join(body, "")), level > 0
}

// fenceAfter is the fence that is open after a line; empty for none.
func fenceAfter(open, line string) string {
	trimmed := strings.TrimLeft(line, " ")
	for _, mark := range []string{"```", "~~~"} {
		if !strings.HasPrefix(trimmed, mark) {
			continue
		}
		switch open {
		case "":
			return mark
		case mark:
			return ""
		}
	}
	return open
}

var (
	headingRule = regexp.MustCompile(`^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$`)
	notAnchor   = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	hyphens     = regexp.MustCompile(`-+`)
)

// heading returns the level of a heading and its text; level 0 is no heading.
func heading(line string) (level int, title string) {
	found := headingRule.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
	if found == nil {
		return 0, ""
	}
	return len(found[1]), found[2]
}

func anchorOf(title string) string {
	slug := notAnchor.ReplaceAllString(strings.ToLower(title), "")
	return hyphens.ReplaceAllString(strings.ReplaceAll(strings.TrimSpace(slug), " ", "-"), "-")
}
