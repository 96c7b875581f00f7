package pictures_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

const recordingName = "terminal.svg"

// recorded are the commands of the recording, in order; each begins where the one before ended.
func recorded() []string {
	return []string{
		"cd c-sensor",
		"modfarm module create acme:c-sensor",
		"modfarm module build start --from-source --version 0.1.0 --wait",
		"modfarm module resolve acme:c-sensor@latest --platform linux/arm64",
		"modfarm module download --version 0.1.0 --platform linux/arm64",
	}
}

// TestTerminalRecording holds that the recording shows these commands and how they end. With -update it makes it from
// a real build.
func TestTerminalRecording(t *testing.T) {
	if *update {
		write(t, recordingName, record(t).svg())
	}
	text, err := os.ReadFile(picture(recordingName))
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.Join(strings.Fields(plainText(string(text))), " ")
	for _, want := range append(recorded(), "published acme:c-sensor 0.1.0 linux/amd64", "published acme:c-sensor 0.1.0 linux/arm64") {
		if !strings.Contains(shown, want) {
			t.Errorf("docs/pictures/%s does not show %q: run `scripts/pictures terminal`", recordingName, want)
		}
	}
}

// record runs the commands on a farm of their own.
func record(t *testing.T) *recording {
	t.Helper()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	all := []module.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}}
	program, err := road.PrepareFarm(t.Context(), top, io.Discard, all)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	farm, err := road.StartFarm(t.Context(), road.Config{
		Dir: dir, Modfarm: program, UpArgs: append(road.UpArgs(os.LookupEnv), "--name", fmt.Sprintf("pictures-%d", os.Getpid())),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := farm.Stop(); err != nil {
			t.Error(err)
		}
	})
	id, key := farm.Key()
	work := filepath.Join(dir, "work")
	if err := os.CopyFS(work, os.DirFS(filepath.Join(top, "examples"))); err != nil {
		t.Fatal(err)
	}
	rec := &recording{}
	for _, command := range recorded() {
		rec.prompt(command)
		if into, ok := strings.CutPrefix(command, "cd "); ok {
			work = filepath.Join(work, into)
			continue
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "MODFARM_URL="+farm.URL(), "MODFARM_KEY_ID="+id, "MODFARM_KEY="+key)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = time.Minute
		if err := rec.run(cmd); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, strings.Join(rec.texts(), "\n"))
		}
	}
	if all := strings.Join(rec.texts(), " "); strings.Contains(all, "attempt 2 of") {
		t.Fatalf("the machine was too busy for a recording: a worker had to begin again\n%s", all)
	}
	return rec
}

// shownLine is a line of the terminal, and when it came.
type shownLine struct {
	at     time.Duration
	text   string
	prompt bool
}

// recording is what a terminal shows, as time goes by. Waits are shortened: nobody looks at a compiler for minutes.
type recording struct {
	lines []shownLine
	now   time.Duration
}

const (
	columns  = 100
	rows     = 24
	longest  = 700 * time.Millisecond  // that is waited for a line
	shortest = 40 * time.Millisecond   // between lines
	typing   = 1300 * time.Millisecond // before a command
	holding  = 5 * time.Second         // at the end, before it begins again
)

func (r *recording) prompt(command string) {
	r.now += typing
	r.lines = append(r.lines, shownLine{r.now, "$ " + command, true})
}

// run shows what a command prints.
func (r *recording) run(cmd *exec.Cmd) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	last := time.Now()
	for scanner := bufio.NewScanner(out); scanner.Scan(); last = time.Now() {
		r.now += min(longest, max(shortest, time.Since(last)))
		for _, line := range wrapColumns(clean(scanner.Text())) {
			r.lines = append(r.lines, shownLine{r.now, line, false})
		}
	}
	return cmd.Wait()
}

func (r *recording) texts() (list []string) {
	for _, l := range r.lines {
		list = append(list, l.text)
	}
	return list
}

var (
	terminalRule = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	workerRule   = regexp.MustCompile(`pictures-\d+`)
	addressRule  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// clean takes from a line what is of this run only.
func clean(line string) string {
	line = terminalRule.ReplaceAllString(line, "")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	line = workerRule.ReplaceAllString(line, "builder-1")
	return strings.ReplaceAll(addressRule.ReplaceAllString(line, "127.0.0.1:8080"), "\t", "    ")
}

// wrapColumns breaks a line as a terminal does.
func wrapColumns(line string) (list []string) {
	runes := []rune(line)
	for len(runes) > columns {
		list, runes = append(list, string(runes[:columns])), runes[columns:]
	}
	return append(list, string(runes))
}

const (
	lineHeight   = 18
	terminalEdge = 16
	barHeight    = 34
	charWidth    = 8
)

// svg is the recording as a picture that moves: one group with all lines, which is moved up by whole lines, and a cover
// over those that did not come yet. Where nothing may move, it shows the end.
func (r *recording) svg() []byte {
	whole := r.now + holding
	width, height := columns*charWidth+2*terminalEdge, barHeight+rows*lineHeight+2*terminalEdge
	var scroll, cover, text strings.Builder
	percent := func(at time.Duration) string { return fmt.Sprintf("%.2f%%", 100*at.Seconds()/whole.Seconds()) }
	for i, l := range r.lines {
		n := i + 1
		if i+1 == len(r.lines) || r.lines[i+1].at != l.at {
			fmt.Fprintf(&scroll, "%s{transform:translateY(%dpx)}", percent(l.at), -max(0, n-rows)*lineHeight)
			fmt.Fprintf(&cover, "%s{transform:translateY(%dpx)}", percent(l.at), min(n, rows)*lineHeight)
		}
		class := ""
		if l.prompt {
			class = ` class="p"`
		}
		if l.text != "" {
			fmt.Fprintf(&text, "<text%s y=\"%d\" xml:space=\"preserve\">%s</text>\n", class, i*lineHeight+13, escaped(l.text))
		}
	}
	end := -max(0, len(r.lines)-rows) * lineHeight
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="t">
<title id="t">A terminal: a module in C is built for linux/amd64 and linux/arm64, published, resolved and downloaded</title>
<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d5dcd8}.p{fill:#7ee2a8;font-weight:600}
.lines{transform:translateY(%[3]dpx);animation:scroll %[4].2fs step-end infinite}.cover{transform:translateY(%[5]dpx);animation:cover %[4].2fs step-end infinite}
@media (prefers-reduced-motion:reduce){.lines,.cover{animation:none}}
@keyframes scroll{0%%{transform:translateY(0)}%[6]s}
@keyframes cover{0%%{transform:translateY(0)}%[7]s}</style>
<rect width="%[1]d" height="%[2]d" rx="8" fill="#141a17" stroke="#3a453f"/>
<circle cx="20" cy="18" r="6" fill="#e0645c"/><circle cx="40" cy="18" r="6" fill="#e0b04c"/><circle cx="60" cy="18" r="6" fill="#5fb374"/>
<svg x="%[8]d" y="%[9]d" width="%[10]d" height="%[11]d">
<g class="lines">
%[12]s</g>
<rect class="cover" width="100%%" height="%[11]d" fill="#141a17"/>
</svg>
</svg>
`, width, height, end, whole.Seconds(), rows*lineHeight, scroll.String(), cover.String(), terminalEdge, barHeight+terminalEdge/2,
		columns*charWidth, rows*lineHeight, text.String())
}

var tagRule = regexp.MustCompile(`(?s)<style>.*</style>|<[^>]*>`)

// plainText is the text of a picture.
func plainText(svg string) string {
	return strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&amp;", "&", "&#xA;", "").Replace(tagRule.ReplaceAllString(svg, ""))
}
