package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar on a terminal and nothing elsewhere.
type progress struct{ bar *progressbar.ProgressBar }

func newProgress(w io.Writer, total int64, what string) progress {
	file, ok := w.(*os.File)
	if !ok || !isTerminal(file) {
		return progress{progressbar.DefaultBytesSilent(total)}
	}
	return progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())}
}

// Set moves the bar to done bytes.
func (p progress) Set(done, _ int64) { _ = p.bar.Set64(done) }

// Finish takes the bar away.
func (p progress) Finish() { _ = p.bar.Finish() }
