package pictures_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// browsers are the names that Chromium goes by.
func browsers() []string {
	return []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
}

// screenshot is what Chromium shows at an address, as PNG.
func screenshot(t *testing.T, address string, height int) []byte {
	t.Helper()
	program := ""
	for _, name := range browsers() {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Fatal("there is no Chromium for screenshots: install Debian's package chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "page.png")
	cmd := exec.CommandContext(ctx, program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-proxy-server",
		"--user-data-dir="+t.TempDir(), "--force-device-scale-factor=1.5", "--window-size=800,"+itoa(height), "--screenshot="+file, address)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, out)
	}
	png, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return png
}

var oneTimeRule = regexp.MustCompile(`\?state=[^"]*|http://127\.0\.0\.1:\d+`)

// pageDigest tells whether a page is another one, whatever its addresses are today.
func pageDigest(page string) string {
	sum := sha256.Sum256([]byte(oneTimeRule.ReplaceAllString(page, "")))
	return hex.EncodeToString(sum[:])
}

// sourceKeyword names the text in a PNG that says what page it shows.
const sourceKeyword = "Source"

// pngEnd is the chunk that ends each PNG.
const pngEnd = "\x00\x00\x00\x00IEND\xaeB`\x82"

// withSource adds the digest of its page to a PNG, as a chunk of text.
func withSource(png []byte, digest string) []byte {
	data := append([]byte("tEXt"+sourceKeyword+"\x00"), digest...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(data)-len("tEXt"))) //nolint:gosec // short
	chunk = append(chunk, data...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(data))
	return append(append(bytes.Clone(bytes.TrimSuffix(png, []byte(pngEnd))), chunk...), pngEnd...)
}

// sourceOf is the digest of the page that a PNG shows; empty when it says none.
func sourceOf(png []byte) string {
	_, rest, ok := bytes.Cut(png, []byte("tEXt"+sourceKeyword+"\x00"))
	if !ok || len(rest) < 2*sha256.Size {
		return ""
	}
	return string(rest[:2*sha256.Size])
}
