package main

import (
	"strings"
	"testing"
)

// TestSafeText: whatever a log holds, and wherever its pieces are cut, a terminal is
// only given text and colours.
func TestSafeText(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"plain\ttext\r\n": "plain\ttext\r\n",
		"\x1b[1;31mred\x1b[0m, größe, 日本, £ ½":          "\x1b[1;31mred\x1b[0m, größe, 日本, £ ½",
		"up\x1b[2A\x1b[2Kover":                          "upover",
		"title\x1b]0;pwned\x07.":                        "title.",
		"clip\x1b]52;c;cHduZWQ=\x1b\\.":                 "clip.",
		"device\x1bP+q\x1b\\ \x1b_x\x1b\\\x1b^y\x07":    "device ",
		"c1 \u009b2J\u009d0;x\u0085.":                   "c1 2J0;x.",
		"reset\x1bc bell\x07 back\x08 del\x7f nul\x00.": "reset bell back del nul.",
		"ask\x1b[6n\x1b[c":                              "ask",
		"cut\x1b[31\x1b[32mgreen":                       "cut\x1b[32mgreen",
		"line\x1b\nnext":                                "line\nnext",
		"endless\x1b[" + strings.Repeat("1;", 40) + "m": "endless" + strings.Repeat("1;", 40)[63:] + "m",
	} {
		for _, size := range []int{1, 2, 3, 1000} {
			var got strings.Builder
			out := &safeText{w: &got}
			for rest := given; rest != ""; rest = rest[min(size, len(rest)):] {
				if _, err := out.Write([]byte(rest[:min(size, len(rest))])); err != nil {
					t.Fatal(err)
				}
			}
			if got.String() != want {
				t.Errorf("%q in pieces of %d: got %q, want %q", given, size, got.String(), want)
			}
		}
	}
}
