package github

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/modfarm/modfarm/farm"
)

// LogPath is where the logs of checks are shown, to be mounted with a trailing wildcard.
const LogPath = "/github/logs/"

// logLink is where people who see a check read its log. The link is good for this one log, and those who may see the
// check may see the repository: browsers carry no key of the farm.
func (g *GitHub) logLink(jobID string) string {
	return strings.TrimSuffix(g.PublicURL, "/") + LogPath + jobID + "/" + g.logSignature(jobID)
}

func (g *GitHub) logSignature(jobID string) string {
	mac := hmac.New(sha256.New, g.LogKey)
	_, _ = mac.Write([]byte("github log " + jobID)) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// ServeLog shows the log of a job to those who have the link, as plain text, as far as it goes.
func (g *GitHub) ServeLog(w http.ResponseWriter, r *http.Request) {
	g.setup()
	jobID, signature, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, LogPath), "/")
	if !hmac.Equal([]byte(signature), []byte(g.logSignature(jobID))) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	const pause = 30 * time.Second // for one piece; the whole may take as long as it likes
	control := http.NewResponseController(w)
	for offset := int64(0); ; {
		chunks, err := g.Builds.ReadLog(r.Context(), jobID, offset, 0)
		if err != nil && offset == 0 {
			http.NotFound(w, r)
			return
		}
		if err != nil || len(chunks) == 0 {
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(pause)) // not every writer has one
		for _, c := range chunks {
			if _, err := w.Write([]byte(plain(c))); err != nil {
				return
			}
			offset = c.Offset + int64(len(c.Data))
		}
	}
}

// colours are what a terminal takes for colours and titles.
var colours = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)`)

// plain leaves colours and terminal commands out: a browser shows them as rubbish.
func plain(c farm.LogChunk) string { return colours.ReplaceAllString(string(c.Data), "") }
