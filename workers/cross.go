package workers

import (
	"regexp"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// triplet is how the cross toolchain of a platform is called in builder images; empty when there is none.
func triplet(p module.Platform) string {
	switch p.Arch {
	case "amd64":
		return "x86_64-linux-gnu"
	case "arm64":
		return "aarch64-linux-gnu"
	case "arm32v7":
		return "arm-linux-gnueabihf"
	}
	return "" // Debian's compilers for 32-bit ARM make code for ARMv7
}

// cgo says what a Go module's C parts need.
type cgo int

const (
	cgoNone    cgo = iota // no package outside of the standard library has any
	cgoPlain              // C that needs nothing but the C library
	cgoLibrary            // C that needs other libraries
	cgoUnknown            // the dependencies could not be listed
)

// probeScript lists the packages outside of the standard library that have C parts for the target, a line each:
// the import path, then what they link. CGO_ENABLED is on, or go list would hide them. It finds out one by one which
// modules it has to download; what go.mod names is downloaded beside it, several at a time, and no longer than it
// takes.
const probeScript = `if [ -f go.mod ] && [ ! -d vendor ]; then go mod download >/dev/null 2>&1 & disown; fi; go list -e -deps -f ` +
	`'{{if and (not .Standard) .CgoFiles}}cgo {{.ImportPath}} {{join .CgoLDFLAGS " "}} {{range .CgoPkgConfig}}pkg-config:{{.}} {{end}}{{end}}' ./...` +
	`; status=$?; [ -z "$!" ] || kill "$!" 2>/dev/null; exit "$status"`

func probeEnv(p module.Platform) []string {
	return append(goEnv(p), "CGO_ENABLED=1")
}

// readProbe judges the lines of probeScript.
func readProbe(output string) (kind cgo, which string) {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "cgo" {
			continue
		}
		if kind == cgoNone {
			kind, which = cgoPlain, fields[1]
		}
		if slices.ContainsFunc(fields[2:], needsLibrary) {
			return cgoLibrary, fields[1]
		}
	}
	return kind, which
}

// needsLibrary says whether a linker flag asks for more than the C library has.
func needsLibrary(flag string) bool {
	switch flag {
	case "-lc", "-lm", "-ldl", "-lpthread", "-lrt", "-lutil", "-lresolv", "-lstdc++", "-lgcc", "-lgcc_s", "-lanl":
		return false
	}
	return strings.HasPrefix(flag, "-l") || strings.HasPrefix(flag, "pkg-config:") || strings.HasSuffix(flag, ".a") ||
		strings.HasSuffix(flag, ".so")
}

// goEnv names the target for Go.
func goEnv(p module.Platform) []string {
	env := []string{"GOOS=" + p.GOOS(), "GOARCH=" + p.GOARCH()}
	if p.GOARM() != "" {
		env = append(env, "GOARM="+p.GOARM())
	}
	return env
}

// toolchainEnv points builds at the cross toolchain, by the names that make, CMake, meson, configure and Go read.
// Programs of the target that a build runs find their loader under QEMU_LD_PREFIX, where emulation is registered.
func toolchainEnv(p module.Platform) []string {
	t := triplet(p)
	env := []string{
		"CROSS_COMPILE=" + t + "-", "QEMU_LD_PREFIX=/usr/" + t,
		"PKG_CONFIG_LIBDIR=/usr/lib/" + t + "/pkgconfig:/usr/" + t + "/lib/pkgconfig",
	}
	for _, tool := range [][2]string{
		{"CC", "gcc"},
		{"CXX", "g++"},
		{"CPP", "cpp"},
		{"AR", "ar"},
		{"AS", "as"},
		{"LD", "ld"},
		{"NM", "nm"},
		{"RANLIB", "ranlib"},
		{"STRIP", "strip"},
		{"OBJCOPY", "objcopy"},
		{"OBJDUMP", "objdump"},
		{"READELF", "readelf"},
	} {
		env = append(env, tool[0]+"="+t+"-"+tool[1])
	}
	return env
}

// shimScript makes a plain `strip`, which many build files call whatever the target is, the target's own.
func shimScript(p module.Platform) string {
	return `tool=$(command -v ` + triplet(p) + `-strip) && ln -sf "$tool" /usr/local/sbin/strip; true`
}

// toolMissing matches what shells, make, CMake and Go say of a compiler that is not there.
func toolMissing(p module.Platform, output string) bool {
	t := triplet(p)
	if t == "" {
		return false
	}
	pattern := regexp.MustCompile(regexp.QuoteMeta(t) +
		`-(gcc|g\+\+|cpp|ar|as|ld|nm|ranlib|strip|objcopy|objdump|readelf)"?'?:? ?(command )?(not found|No such file or directory|executable file not found)`)
	return pattern.MatchString(output)
}

var execFormat = regexp.MustCompile(`(?i)exec format error`)

// crossTrouble says why a failed step of a cross build is the fault of crossing, if it is.
func crossTrouble(p module.Platform, output string) (because string, ok bool) {
	switch {
	case execFormat.MatchString(output):
		return "a step ran a program of " + p.String() + " (exec format error)", true
	case toolMissing(p, output):
		return "the cross compiler for " + p.String() + " is missing in the builder image", true
	}
	return "", false
}
