package docker

import (
	"context"
	"fmt"
	"strings"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/binfmt"
)

// Ability is what this machine was shown to build.
type Ability struct {
	// Native is the machine's own platform; Cross are those that its builder image has compilers for;
	// QEMU are those whose programs were proved to run under emulation.
	Native, Cross, QEMU []module.Platform
	// Missing says, a sentence each, which platforms cannot run here and what would cure it.
	Missing []string
}

// Prove runs a one-line container per platform and returns what this machine can build. Platforms that cannot
// run are in Missing with the cure; only trouble with the engine itself is an error.
func (r *Runner) Prove(ctx context.Context) (Ability, error) {
	a := Ability{Native: []module.Platform{r.host}, Cross: crossTargets(r.host)}
	for _, p := range emulated(r.host) {
		// Whether it worked is proved next; the kernel may know another emulator.
		if err := binfmt.Register(p); err != nil {
			r.log().InfoContext(ctx, "no emulator was registered", "platform", p.String(), "error", err)
		}
		err := r.proveOne(ctx, p)
		switch {
		case err == nil:
			a.QEMU = append(a.QEMU, p)
		case ctx.Err() != nil:
			return Ability{}, fmt.Errorf("prove %s: %w", p, context.Cause(ctx))
		default:
			a.Missing = append(a.Missing, fmt.Sprintf("%s cannot run here (%s): %s", p, reason(err), cure(p)))
		}
	}
	return a, nil
}

func (r *Runner) proveOne(ctx context.Context, p module.Platform) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.runCanary(ctx, p, "")
}

// reason shortens what an engine says when a foreign program does not start.
func reason(err error) string {
	text := err.Error()
	if strings.Contains(strings.ToLower(text), "exec format error") {
		return "exec format error"
	}
	return text
}

// cure says how a platform is made to run.
func cure(p module.Platform) string {
	arch := p.GOARCH()
	return "install emulation with `apt-get install qemu-user-static` and restart the worker as root, or run " +
		"`docker run --privileged --rm tonistiigi/binfmt --install " + arch + "` once"
}

// emulated are the platforms that have builder images and are not the host's own.
func emulated(host module.Platform) []module.Platform {
	return without(host, "amd64", "arm64", "arm32v7")
}

// crossTargets are the platforms that the host's builder image crosses to: with C compilers, and for arm32v6
// with Go's alone.
func crossTargets(host module.Platform) []module.Platform {
	if host.Arch != "amd64" && host.Arch != "arm64" {
		return nil
	}
	return without(host, "amd64", "arm64", "arm32v7", "arm32v6")
}

func without(host module.Platform, arches ...string) []module.Platform {
	var list []module.Platform
	for _, arch := range arches {
		if arch != host.Arch {
			list = append(list, module.Platform{OS: "linux", Arch: arch})
		}
	}
	return list
}
