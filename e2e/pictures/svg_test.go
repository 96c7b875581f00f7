package pictures_test

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// canvas draws a card of fixed width, from top to bottom, in colours that go with a light and with a dark page.
type canvas struct {
	title string
	body  strings.Builder
	y     int
}

const (
	cardWidth = 760
	margin    = 28
	lineStep  = 22
	// lineChars is how many characters of the body's text fit into a line of the card.
	lineChars = 88
)

const svgStyle = `text{font-family:system-ui,"Segoe UI",Helvetica,Arial,sans-serif;font-size:14px;fill:#1f2328}
.soft{fill:#59636e}.bold{font-weight:600}.big{font-size:19px;font-weight:600}.small{font-size:12px}.mono{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12.5px}
.card{fill:#fff;stroke:#d1d9e0}.head{fill:#f6f8fa}.line{stroke:#d1d9e0}.field{fill:#fff;stroke:#818b98}.note{fill:#ddf4ff;stroke:#54aeff}.bad{fill:#ffebe9;stroke:#ff8182}
.go{fill:#1f883d}.on{fill:#fff;font-weight:600}.link{fill:#0969da}.ok{fill:#1a7f37}.fail{fill:#d1242f}.wait{fill:#9a6700}.mark{fill:none;stroke:#fff;stroke-width:2}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.soft{fill:#9198a1}.card{fill:#0d1117;stroke:#3d444d}.head{fill:#151b23}.line{stroke:#3d444d}.field{fill:#0d1117;stroke:#656c76}
.note{fill:#12233a;stroke:#1f6feb}.bad{fill:#2d1517;stroke:#9e3a38}.go{fill:#238636}.on{fill:#fff}.link{fill:#4493f8}.ok{fill:#3fb950}.fail{fill:#f85149}.wait{fill:#d29922}}
`

func newCanvas(title string) *canvas { return &canvas{title: title, y: margin} }

func escaped(text string) string {
	var s strings.Builder
	_ = xml.EscapeText(&s, []byte(text)) // a Builder takes everything
	return s.String()
}

func (c *canvas) raw(format string, args ...any) { fmt.Fprintf(&c.body, format+"\n", args...) }

// text writes one line with its baseline at y.
func (c *canvas) text(x, y int, class, text string) {
	c.raw(`<text x="%d" y="%d" class="%s" xml:space="preserve">%s</text>`, x, y, class, escaped(text))
}

func (c *canvas) box(x, y, w, h int, class string) {
	c.raw(`<rect x="%d" y="%d" width="%d" height="%d" rx="6" class="%s"/>`, x, y, w, h, class)
}

// header is the band on top of the card.
func (c *canvas) header(text string) {
	c.box(1, 1, cardWidth-2, 52, "head")
	c.text(margin, 33, "big", text)
	c.rule(53)
	c.y = 84
}

func (c *canvas) rule(y int) {
	c.raw(`<line x1="1" x2="%d" y1="%d" y2="%d" class="line"/>`, cardWidth-1, y, y)
}

// lines writes text below what there is, wrapped.
func (c *canvas) lines(x int, class, text string, most int) {
	for _, line := range wrap(text, most) {
		c.text(x, c.y, class, line)
		c.y += lineStep
	}
}

// row is a name and what belongs to it.
func (c *canvas) row(name, value string) {
	const column = margin + 130
	c.text(margin, c.y, "soft", name)
	c.lines(column, "", value, lineChars-18)
}

func (c *canvas) button(x int, text string) {
	const height = 34
	width := 32 + 8*len([]rune(text))
	c.box(x, c.y-6, width, height, "go")
	c.raw(`<text x="%d" y="%d" class="on" text-anchor="middle">%s</text>`, x+width/2, c.y+16, escaped(text))
	c.y += height + 12
}

// status is the round sign of a check run.
func (c *canvas) status(x, y int, state string) {
	switch state {
	case "success":
		c.raw(`<circle cx="%d" cy="%d" r="9" class="ok"/><path d="M%d %dl3.5 3.5 6-6.5" class="mark"/>`, x, y, x-5, y)
	case "failure":
		c.raw(`<circle cx="%d" cy="%d" r="9" class="fail"/><path d="M%d %dl8 8m0-8l-8 8" class="mark"/>`, x, y, x-4, y-4)
	default:
		c.raw(`<circle cx="%d" cy="%d" r="6" class="wait"/>`, x, y)
	}
}

// finish is the whole picture. Its last line says what it is.
func (c *canvas) finish() []byte {
	c.rule(c.y)
	c.text(margin, c.y+22, "small soft", "A drawing, not a screenshot. The words are the farm's; times, sizes and digests are examples.")
	height := c.y + 38
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t">
<title id="t">%s</title>
<style>%s</style>
<rect x="1" y="1" width="%d" height="%d" rx="8" class="card"/>
%s</svg>
`, cardWidth, height, cardWidth, height, escaped(c.title), svgStyle, cardWidth-2, height-2, c.body.String())
}

// wrap breaks text at blanks into lines of at most so many characters; longer words are cut.
func wrap(text string, most int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for len([]rune(word)) > most {
			lines, word = append(lines, string([]rune(word)[:most])), string([]rune(word)[most:])
		}
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) > most:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
