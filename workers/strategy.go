package workers

import (
	"fmt"
	"slices"

	"github.com/modfarm/modfarm/module"
)

// plan is how a job will be built.
type plan struct {
	strategy module.Strategy
	// container is the platform of the build container.
	container module.Platform
	// because explains the choice, to follow "strategy: cross, because".
	because string
	// env is added to the build step, for crossing.
	env []string
	// shim says to prepare the container with shimScript.
	shim bool
}

// question is what a plan is made from.
type question struct {
	target, host module.Platform
	// allowed are the strategies in order of preference.
	allowed []module.Strategy
	// pinned says that modfarm.yaml names the strategy.
	pinned  bool
	project project
	// probe lists the C parts of a Go module. It is only called when the answer matters.
	probe func() (cgo, string, error)
}

// choose picks the first allowed strategy that can work. The error is an *uncrossable when the only thing allowed
// is crossing and that cannot work, or the probe's own.
func (q question) choose() (plan, error) {
	notCross := ""
	for _, s := range q.allowed {
		switch s {
		case module.StrategyNative:
			return plan{strategy: s, container: q.target, because: q.reason("this worker is a " + q.target.String() + " machine")}, nil
		case module.StrategyQEMU:
			because := "this worker is a " + q.host.String() + " machine"
			if notCross != "" {
				because = notCross
			}
			return plan{strategy: s, container: q.target, because: q.reason(because)}, nil
		case module.StrategyCross:
			p, no, err := q.cross()
			if err != nil || no == "" {
				return p, err
			}
			notCross = no
		}
	}
	if notCross != "" {
		return plan{}, &uncrossable{notCross}
	}
	return plan{}, failed("no strategy is allowed for %s on this worker; start the build again", q.target)
}

func (q question) reason(otherwise string) string {
	if q.pinned {
		return "modfarm.yaml says so"
	}
	return otherwise
}

// cross plans a cross build, or says why not.
func (q question) cross() (p plan, no string, err error) {
	p = plan{strategy: module.StrategyCross, container: q.host, shim: triplet(q.target) != ""}
	switch {
	case q.project.foreign != "" && !q.pinned:
		return plan{}, "modules with " + q.project.foreign + " are not cross-compiled", nil
	case q.project.goModule:
		return q.crossGo(p)
	case q.project.cSources || q.pinned:
		return q.crossC(p)
	}
	return plan{}, "neither go.mod nor a make file with C sources was found, so nothing says that it cross-compiles", nil
}

func (q question) crossGo(p plan) (plan, string, error) {
	kind, which, err := q.probe()
	if err != nil {
		return plan{}, "", err
	}
	t := triplet(q.target)
	switch {
	case kind == cgoNone:
		p.env = []string{"CGO_ENABLED=0"}
		p.because = q.reason("it is a Go module and no dependency uses cgo")
		return p, "", nil
	case kind == cgoUnknown && !q.pinned:
		return plan{}, "the dependencies of the Go module could not be listed, so whether they use cgo is unknown", nil
	case t == "":
		return plan{}, fmt.Sprintf("%s uses cgo and there is no C cross compiler for %s", which, q.target), nil
	case kind == cgoLibrary && !q.pinned:
		return plan{}, fmt.Sprintf("%s uses cgo with libraries of the machine", which), nil
	case q.project.hostLibraries != "" && !q.pinned:
		return plan{}, fmt.Sprintf("%s uses cgo, and %s asks for libraries of the build machine", which, q.project.hostLibraries), nil
	}
	p.env = append(toolchainEnv(q.target), "CGO_ENABLED=1")
	p.because = q.reason(fmt.Sprintf("it is a Go module and %s-gcc compiles the cgo of %s", t, which))
	return p, "", nil
}

func (q question) crossC(p plan) (plan, string, error) {
	t := triplet(q.target)
	switch {
	case t == "":
		return plan{}, "there is no C cross compiler for " + q.target.String(), nil
	case q.project.hostLibraries != "" && !q.pinned:
		return plan{}, q.project.hostLibraries + " asks for libraries of the build machine", nil
	}
	p.env = append(toolchainEnv(q.target), "CGO_ENABLED=1")
	p.because = q.reason("it is made of C sources and " + t + "-gcc compiles them")
	return p, "", nil
}

// emulated is the plan to fall back on after crossing was tried; ok is false when emulation is not allowed here.
func (q question) emulated(because string) (p plan, ok bool) {
	if !slices.Contains(q.allowed, module.StrategyQEMU) {
		return plan{}, false
	}
	return plan{strategy: module.StrategyQEMU, container: q.target, because: "crossing did not work: " + because}, true
}
