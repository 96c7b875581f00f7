package workers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

// step is one script of a module.
type step struct {
	name, key string // "Setup", "setup" as in meta.json and modfarm.yaml
	script    string
	timeout   bound
	network   module.NetworkPolicy
	env       []string
}

// steps are the scripts to run, with their environments.
func (j *job) steps(p plan, c checkout) []step {
	t, limits := j.a.Job.Platform, j.bounds(c.settings)
	common := j.environ(c, p.strategy)
	setup := step{stepSetup, "setup", c.manifest.Build.Setup, limits.setup, c.settings.Network.Setup, common}
	if p.container == t { // a set-up for another platform would break `go run` and its kin
		setup.env = append(append([]string{}, common...), goEnv(t)...)
	}
	build := step{stepBuild, "build", c.manifest.Build.Build, limits.build, c.settings.Network.Build, nil}
	build.env = append(append(append([]string{}, common...), goEnv(t)...), p.env...)
	if strings.TrimSpace(setup.script) == "" {
		return []step{build}
	}
	return []step{setup, build}
}

// environ is what every step is told, by the names that module authors know and by ours.
func (j *job) environ(c checkout, s module.Strategy) []string {
	t, b := j.a.Job.Platform, j.a.Build
	env := []string{
		"VIAM_BUILD_OS=" + t.GOOS(), "VIAM_BUILD_ARCH=" + t.GOARCH(),
		"VIAM_TARGET_OS=" + t.GOOS(), "VIAM_TARGET_ARCH=" + t.GOARCH(),
		"MODFARM_MODULE_ID=" + b.Module.String(), "MODFARM_VERSION=" + b.Version.String(), "MODFARM_PLATFORM=" + t.String(),
		"MODFARM_STRATEGY=" + string(s), "MODFARM_COMMIT=" + b.Commit, "MODFARM_BUILD_ID=" + b.ID,
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", c.time.Unix()),
		// The checkout belongs to the worker's user, the build runs as root: git wants to be told that this is fine.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "GIT_TERMINAL_PROMPT=0",
	}
	if t.GOARM() != "" {
		env = append(env, "GOARM="+t.GOARM())
	}
	return env
}

// variables are an environment by name.
func variables(environ []string) map[string]string {
	m := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return m
}

// runStep runs one script, or goes on with it in a container that was taken up, and explains its end.
func (j *job) runStep(ctx context.Context, box Container, taken KeptContainer, s step, p plan, c checkout) error {
	until := time.Now().Add(s.timeout.time)
	if taken == nil {
		j.step(s.name)
	} else {
		j.beat.tell(s.name, module.StrategyAuto)
		until = j.kept.Running.Until
	}
	ctx, cancel := j.within(ctx, c.settings)
	defer cancel()
	ctx, done := context.WithDeadlineCause(ctx, until, failed(
		"%s took longer than %s and was stopped; %s", s.key, s.timeout.time, s.timeout.cure))
	defer done()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	j.log.whenFull(func(e *Exceeded) { stop(e) })
	script := s.script
	if taken == nil {
		script = j.runnable(s.script, c)
	}
	command := Command{Script: script, Dir: c.inside, Env: s.env, Network: s.network, Output: j.log}
	exit, err := j.runScript(ctx, box, taken, command, runningStep{Key: s.key, Until: until})
	end := causeOf(ctx, cmp.Or(err, context.Cause(ctx))) // a script may end by itself while it is being stopped
	if e, ok := errors.AsType[*Exceeded](errors.Join(err, end)); ok {
		return stopped(s, e)
	}
	if end != nil {
		return end
	}
	if exit.Code == 0 {
		return nil
	}
	output := j.log.end()
	if p.strategy == module.StrategyCross {
		if because, yes := crossTrouble(j.a.Job.Platform, output); yes {
			return &uncrossable{because}
		}
	}
	if j.pool.Failed != nil {
		j.pool.Failed(ctx, box, command)
	}
	return j.explain(s, exit, output, c)
}

// runScript runs a script so that the next process of this worker can take it up, or takes it up.
func (j *job) runScript(ctx context.Context, box Container, taken KeptContainer, c Command, r runningStep) (Exit, error) {
	if taken != nil {
		return taken.Resume(ctx, j.note.Raw, c)
	}
	r.Stream = rand.Text()
	if err := j.log.follow(r.Stream); err != nil {
		return Exit{}, err
	}
	c.Held = func(h Held) {
		if h == nil {
			return
		}
		r.Held = h
		j.save(func(s *saved) { s.Running = &r })
	}
	return box.Run(ctx, c)
}

// explain says in one sentence why a script failed, and what to do.
func (j *job) explain(s step, exit Exit, output string, c checkout) error {
	if err := exhausted(s.key, exit, output); err != nil {
		return err
	}
	if file := withoutExecBit(output, c); file != "" {
		return failed("%s has no exec bit: %s", file, giveExecBit(file))
	}
	if because := withoutInterpreter(output, c); because != "" {
		return failed("%s", because)
	}
	last := tellingLine(output) + keptFrom(s, exit, output)
	ended := fmt.Sprintf("ended with exit code %d", exit.Code)
	if exit.Code == 127 {
		ended += " (a command was not found)"
	}
	if last == "" {
		return failed("%s (%s) %s and said nothing; run it by hand to see why", s.key, shorten(s.script), ended)
	}
	return failed("%s (%s) %s: %s", s.key, shorten(s.script), ended, last)
}

// saysNoNetwork matches how programs tell that they reach nothing.
var saysNoNetwork = regexp.MustCompile(`(?i)could not resolve|name resolution|no such host|network is unreachable|` +
	`name or service not known|connection refused|connect(?:ion)? timed out|ENOTFOUND|EAI_AGAIN|ECONNREFUSED`)

// keptFrom says what the network policy of a failed step refused. It may be why the step failed, or not.
func keptFrom(s step, exit Exit, output string) string {
	if s.network == module.NetworkNone && saysNoNetwork.MatchString(output) {
		return fmt.Sprintf(" (network.%s is none, so it reaches nothing: set it to registries or full in modfarm.yaml)", s.key)
	}
	if len(exit.Refused) > 0 {
		host := exit.Refused[0]
		return fmt.Sprintf(" (network.%s is registries, which kept it from %s: set it to full in modfarm.yaml, or have the worker's owner add "+
			"--build-registry %s)", s.key, first(exit.Refused), strings.TrimSuffix(host, ":443"))
	}
	if len(exit.Blocked) > 0 {
		return fmt.Sprintf(" (builds do not reach %s, which is private or the build machine's: have the worker's owner add --build-allow %s)",
			first(exit.Blocked), exit.Blocked[0])
	}
	return ""
}

// first names the first of several.
func first(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return fmt.Sprintf("%s and %d more", list[0], len(list)-1)
}

// lastLine is the last line that says something, as a terminal would show it.
func lastLine(output string) string {
	last := ""
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:]
		}
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return shorten(strings.ToValidUTF8(last, "?"))
}

// shorten keeps a text short enough for a sentence.
func shorten(s string) string {
	const most = 200
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
