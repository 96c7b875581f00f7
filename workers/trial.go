package workers

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// Trials start programs as a machine would. A Runner that has them is one.
type Trials interface {
	// Try starts a program in the small image of its platform, without a network. The error wraps module.ErrNotFound
	// when there is no such image (yet), and module.ErrUnavailable when the machine is at fault.
	Try(ctx context.Context, t Trial) (TrialEnd, error)
}

// Trial says what to start, and where.
type Trial struct {
	Platform module.Platform
	Distro   string
	// Folder on the worker's disk is seen at ArchivePath, read-only.
	Folder string
	// Argv is the program and its arguments; it is started by the kernel, not by a shell, with Folder as its folder.
	Argv []string
	// Alive is how long the program has to live to be taken away again; zero lets it run to its end.
	Alive time.Duration
	// Job identifies the container to people and to the clean-up.
	Job string
}

// TrialEnd is how a program did.
type TrialEnd struct {
	// Alive says that it lived as long as it had to.
	Alive bool
	// Code is its exit status otherwise, and Output the beginning of what it wrote.
	Code   int
	Output string
}

// ArchivePath is where the unpacked archive is seen in a trial.
const ArchivePath = "/module"

// What a trial may take.
const (
	trialTimeout = 2 * time.Minute
	// maxTrial is the largest archive, in bytes once unpacked, that is unpacked for a trial.
	maxTrial = 4 << 30
)

// try starts the entrypoint of the archive once, and then the module's own smoke command. The error says what a machine
// would have met.
func (j *job) try(ctx context.Context, file *os.File, report *archive.Report, c checkout) error {
	trials, ok := j.pool.Runner.(Trials)
	p := j.a.Job.Platform
	switch {
	case !ok:
		return nil
	case !slices.Contains(j.pool.Native, p) && !slices.Contains(j.pool.QEMU, p):
		j.smoked("skipped", "this worker cannot run programs of "+p.String())
		return nil
	case report.TarSize > maxTrial:
		j.smoked("skipped", fmt.Sprintf("the archive unpacks to %s, and more than %s are not unpacked for it", size(report.TarSize), size(maxTrial)))
		return nil
	}
	dir := filepath.Join(j.dir, "smoke")
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil { // of before a restart
		return fmt.Errorf("unpack the archive: %w", err)
	}
	if err := archive.Extract(ctx, io.NewSectionReader(file, 0, report.Size), dir, archive.Limits{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, trialTimeout, failed("the smoke run took longer than %s; make it shorter", trialTimeout))
	defer cancel()
	err := j.tryEntrypoint(ctx, trials, dir, c)
	if err == nil && c.settings.Smoke != "" {
		err = j.trySmoke(ctx, trials, dir, c)
	}
	if errors.Is(err, module.ErrNotFound) {
		j.smoked("skipped", sentence(err))
		return nil
	}
	if err != nil && ctx.Err() == nil {
		j.smoked("failed", sentence(err))
	}
	return causeOf(ctx, err)
}

// smoked notes how the trial went, for the log and for the release.
func (j *job) smoked(verdict, detail string) {
	j.log.say("smoke run %s: %s", verdict, detail)
	j.reported(func(r *module.BuildReport) { r.Smoke = &module.SmokeRun{Verdict: verdict, Detail: detail} })
}

func (j *job) trial(dir string) Trial {
	return Trial{Platform: j.a.Job.Platform, Distro: j.a.Build.Distro, Folder: dir, Job: j.a.Job.ID}
}

func (j *job) tryEntrypoint(ctx context.Context, trials Trials, dir string, c checkout) error {
	t := j.trial(dir)
	name := path.Clean(c.manifest.Entrypoint)
	t.Argv = []string{path.Join(ArchivePath, name), "/tmp/module.sock"} // as a machine starts it
	t.Alive = cmp.Or(j.pool.TrialTime, aliveFor(slices.Contains(j.pool.Native, t.Platform), busyness()))
	end, err := trials.Try(ctx, t)
	if err != nil {
		return err
	}
	if trouble := startTrouble(end); trouble != "" {
		if interpreter := loaderOf(dir, name); trouble == noInterpreter && interpreter != "" {
			trouble = "its interpreter " + interpreter + " is not there"
		}
		return failed("the entrypoint %s does not start on %s: %s%s", name, t.Platform, trouble,
			"; pack what it needs with it, or link it statically")
	}
	detail := fmt.Sprintf("the entrypoint %s started and ran for %s", name, t.Alive)
	if !end.Alive {
		detail = fmt.Sprintf("the entrypoint %s started and ended by itself with exit code %d", name, end.Code)
	}
	j.smoked("passed", detail)
	return nil
}

// trySmoke runs the command of modfarm.yaml, whose exit code counts.
func (j *job) trySmoke(ctx context.Context, trials Trials, dir string, c checkout) error {
	t := j.trial(dir)
	t.Argv = []string{"bash", "-c", c.settings.Smoke}
	end, err := trials.Try(ctx, t)
	if err != nil {
		return err
	}
	if end.Output != "" {
		_, _ = fmt.Fprintln(j.log, strings.TrimRight(end.Output, "\n")) // a failing disk shows elsewhere
	}
	if end.Code != 0 {
		return failed("smoke (%s) ended with exit code %d: %s", shorten(c.settings.Smoke), end.Code,
			cmp.Or(tellingLine(end.Output), "it said nothing"))
	}
	j.smoked("passed", fmt.Sprintf("the entrypoint started, and the smoke command of modfarm.yaml (%s) succeeded", shorten(c.settings.Smoke)))
	return nil
}

const noInterpreter = "its interpreter is not there"

// startPatterns are how kernels, loaders, shells and emulators say that a program cannot start. The first group, where
// there is one, is what is missing.
//
//nolint:gochecknoglobals // regular expressions, compiled once and never changed
var startPatterns = []struct {
	says *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`error while loading shared libraries: ([^:\s]+): cannot open shared object file`), "the library %s is not there"},
	{regexp.MustCompile("version [`'](GLIBC\\w*_[0-9.]+)' not found"), "it needs %s, which is newer than the machine's"},
	{regexp.MustCompile(`Error loading shared library ([^:\s]+):`), "the library %s is not there"},
	{regexp.MustCompile(`(/[^:\s]+): bad interpreter: No such file or directory`), "its interpreter %s is not there"},
	{regexp.MustCompile("env: ['‘\"]?([^'’\"\\s]+)['’\"]?: No such file or directory"), "its interpreter %s is not there"},
	{regexp.MustCompile(`qemu-\S+: Could not open '([^']+)'`), "its loader %s is not there"},
	{regexp.MustCompile(`(?i)exec format error`), "exec format error"},
	{regexp.MustCompile(`(?i)cannot execute: required file not found`), noInterpreter},
	{regexp.MustCompile(`exec (?:user process caused|/\S+): (?:.*: )?no such file or directory`), noInterpreter},
	{regexp.MustCompile(`exec: "[^"]+": (?:stat .*: )?no such file or directory`), noInterpreter},
	{regexp.MustCompile(`exec (?:user process caused|/\S+): (?:.*: )?permission denied`), "it may not be executed"},
}

// startTrouble says what kept a program from starting; empty when it started, however it ended.
func startTrouble(end TrialEnd) string {
	if end.Alive || end.Code == 0 {
		return ""
	}
	for _, p := range startPatterns {
		m := p.says.FindStringSubmatch(end.Output)
		switch {
		case m == nil:
		case len(m) > 1:
			return fmt.Sprintf(p.what, m[1])
		default:
			return p.what
		}
	}
	return ""
}

// loaderOf is what a file names as its interpreter: of a script its first line's, of a program its loader.
func loaderOf(dir, name string) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ""
	}
	defer root.Close()
	file, err := openRegular(root, name)
	if err != nil {
		return ""
	}
	defer file.Close()
	const most = 512
	head := make([]byte, most)
	n, _ := file.ReadAt(head, 0) // less is fine
	if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if words := strings.Fields(string(line)); len(words) > 0 {
			return words[0]
		}
		return ""
	}
	program, err := elf.NewFile(file)
	if err != nil {
		return ""
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz <= most {
			loader := make([]byte, p.Filesz)
			if _, err := p.ReadAt(loader, 0); err == nil {
				return string(bytes.TrimRight(loader, "\x00"))
			}
		}
	}
	return ""
}
