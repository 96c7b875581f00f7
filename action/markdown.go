package action

import (
	"fmt"
	"regexp"
	"strings"
)

// splitLink takes "README.md#model-a" apart.
func splitLink(link string) (file, anchor string) {
	file, anchor, _ = strings.Cut(link, "#")
	if file == "" {
		file = "README.md"
	}
	return file, anchor
}

// section is the text below the heading that an anchor names, up to the next heading of the same or a
// higher level.
func section(text, anchor string) (string, bool) {
	var body strings.Builder
	seen := map[string]int{}
	level, fenced := 0, false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		depth, title := heading(line)
		if fenced {
			depth = 0
		}
		switch {
		case depth > 0 && level > 0 && depth <= level:
			return strings.TrimSpace(body.String()), true
		case level > 0:
			body.WriteString(line)
		case depth > 0 && numbered(seen, anchorOf(title)) == anchor:
			level = depth
		}
	}
	return strings.TrimSpace(body.String()), level > 0
}

func heading(line string) (depth int, title string) {
	hashes := len(line) - len(strings.TrimLeft(line, "#"))
	if hashes == 0 || hashes > 6 || !strings.HasPrefix(line[hashes:], " ") {
		return 0, ""
	}
	return hashes, strings.TrimSpace(line[hashes:])
}

// What the anchor of a heading leaves out, and what becomes one hyphen.
var (
	dropped = regexp.MustCompile(`[^\w\s-]`)
	hyphens = regexp.MustCompile(`[\s-]+`)
)

// anchorOf spells a heading as the links to it do.
func anchorOf(title string) string {
	kept := dropped.ReplaceAllString(strings.ToLower(title), "")
	return hyphens.ReplaceAllString(kept, "-")
}

// numbered tells repeated headings apart as -1, -2 and so on.
func numbered(seen map[string]int, anchor string) string {
	count := seen[anchor]
	seen[anchor]++
	if count > 0 {
		return fmt.Sprintf("%s-%d", anchor, count)
	}
	return anchor
}
