package action

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// access is where the farm is, and the key of the step; without one the workflow's identity takes its place.
type access struct {
	url, keyID, keyValue string
	// organization is whom a workflow without a key acts for, where several have linked its repository.
	organization string
}

// inputs are the inputs of the build step, checked.
type inputs struct {
	access
	version             module.Version
	ref, token, workdir string
	platforms           []module.Platform
	publish             module.Publish
	failFast, wait      bool
	repo                string
	metaPath            string
	manifest            *module.Manifest
	farm                Farm
}

// inputError is everything that is wrong with the inputs and with meta.json, whose faults have lines.
type inputError struct {
	inputs   module.Faults
	metaPath string
	manifest module.Faults
}

// Error prints one line per fault.
func (e *inputError) Error() string {
	lines := make([]string, 0, len(e.inputs)+len(e.manifest))
	for _, fault := range e.inputs {
		lines = append(lines, fault.String())
	}
	for _, fault := range e.manifest {
		lines = append(lines, e.metaPath+": "+fault.String())
	}
	return strings.Join(lines, "\n")
}

// Is reports that it is an ErrInvalid.
func (e *inputError) Is(target error) bool { return target == module.ErrInvalid }

// readInputs names everything that is wrong with inputs and meta.json at once.
func (s *step) readInputs() (inputs, error) {
	r := inputReader{get: s.gh.GetInput}
	in := inputs{
		access:   s.readAccess(&r),
		token:    r.get("token"),
		publish:  r.publish(),
		failFast: r.flag("fail-fast", false),
		wait:     r.flag("wait", true),
		metaPath: r.withDefault("meta-path", "meta.json"),
	}
	in.platforms = r.platforms()
	in.farm = s.connect(&r, in.access)
	if in.manifest = s.readManifest(&r, in.metaPath, true); in.manifest != nil {
		in.repo = r.repository(in.manifest.URL, s.env.Getenv)
		if len(in.platforms) == 0 {
			in.platforms = in.manifest.Build.Arch
		}
	}
	in.workdir = r.withDefault("workdir", s.folderOf(in.metaPath))
	in.version = r.version(in.manifest, in.workdir)
	in.ref = r.withDefault("ref", s.defaultRef(in))
	return in, r.err(in.metaPath)
}

// readManifest reads meta.json from the checked-out repository; nil when there is something wrong. forBuild holds that
// it says how to build.
func (s *step) readManifest(r *inputReader, name string, forBuild bool) *module.Manifest {
	text, err := os.ReadFile(s.inWorkspace(name))
	if errors.Is(err, fs.ErrNotExist) {
		r.fault("meta-path", name, "this file does not exist in the workspace",
			"put actions/checkout before this step, or name the file where it is")
		return nil
	}
	if err != nil {
		r.fault("meta-path", name, "cannot be read: "+err.Error(), "name a readable file")
		return nil
	}
	manifest, err := module.ParseManifest(text)
	if err == nil && forBuild {
		err = manifest.CheckBuild()
	}
	if err == nil {
		return manifest
	}
	if !errors.As(err, &r.manifest) {
		r.fault("meta-path", name, err.Error(), "")
	}
	return nil
}

func (s *step) inWorkspace(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.env.Getenv("GITHUB_WORKSPACE"), name)
}

// inputReader collects what is wrong while it reads.
type inputReader struct {
	get      func(name string) string
	faults   module.Faults // of inputs
	manifest module.Faults // of meta.json
}

// err is everything that is wrong, or nil.
func (r *inputReader) err(metaPath string) error {
	if len(r.faults)+len(r.manifest) == 0 {
		return nil
	}
	return &inputError{inputs: r.faults, metaPath: metaPath, manifest: r.manifest}
}

func (r *inputReader) fault(name, value, problem, advice string) {
	r.faults = append(r.faults, module.Fault{Path: "input " + name, Value: value, Problem: problem, Advice: advice})
}

func (r *inputReader) required(name, advice string) string {
	value := r.get(name)
	if value == "" {
		r.fault(name, "", "is missing", advice)
	}
	return value
}

func (r *inputReader) withDefault(name, value string) string {
	if given := r.get(name); given != "" {
		return given
	}
	return value
}

// version reads a version, or a tag that names one. A tag of another module than meta.json's is a fault: it may be named
// in the tag, or its folder.
func (r *inputReader) version(m *module.Manifest, folder string) module.Version {
	text := r.get("version")
	if text == "" {
		return module.Version{}
	}
	what, version, err := module.SplitTag(text)
	switch {
	case err != nil:
		r.fault("version", text, "is no version such as 1.2.3 or v1.2.3-rc1, and no tag such as widget/v1.2.3",
			"run the workflow for version tags only, or leave the input empty to build without publishing")
	case what != "" && m != nil && !strings.EqualFold(what, m.ID.Name) && what != folder:
		r.fault("version", text, "is a tag of "+what+", and meta.json is of "+m.ID.String(),
			"run this step for tags of its module only, as "+m.ID.Name+"/v1.2.3, or name the meta.json of "+what+" as meta-path")
	}
	return version
}

func (r *inputReader) publish() module.Publish {
	switch p := module.Publish(strings.ToLower(r.get("publish"))); p {
	case "", module.PublishEach, module.PublishAll:
		return p
	default:
		r.fault("publish", string(p), "is no way to publish", "write each or all, or leave it empty for what modfarm.yaml says")
		return ""
	}
}

func (r *inputReader) flag(name string, without bool) bool {
	switch text := r.get(name); strings.ToLower(text) {
	case "":
		return without
	case "true":
		return true
	case "false":
		return false
	default:
		r.fault(name, text, "is neither true nor false", "write one of them")
		return without
	}
}

// list reads words that stand between commas or spaces.
func (r *inputReader) list(name string) []string {
	return strings.FieldsFunc(r.get(name), func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) })
}

func (r *inputReader) platforms() []module.Platform {
	var platforms []module.Platform
	for _, word := range r.list("platforms") {
		platform, err := module.ParsePlatform(word)
		switch {
		case err != nil:
			r.fault("platforms", word, "is no platform", "write them as linux/amd64, linux/arm64")
		case platform.IsWildcard():
			r.fault("platforms", word, "is a wildcard; a build has one platform", "write them as linux/amd64, linux/arm64")
		case !slices.Contains(platforms, platform):
			platforms = append(platforms, platform)
		}
	}
	return platforms
}

// ignored says which of the inputs were given that the stock action has and that mean nothing here.
func (s *step) ignored(names map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if s.gh.GetInput(name) != "" {
			s.gh.Noticef("%s", fmt.Sprintf("input %s is ignored: %s", name, names[name]))
		}
	}
}
