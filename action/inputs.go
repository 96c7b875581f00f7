package action

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// inputs are the step's inputs, checked.
type inputs struct {
	url, keyID, keyValue string
	version              module.Version
	ref, token, workdir  string
	platforms            []module.Platform
	wait                 bool
	repo                 string
	metaPath             string
	manifest             *module.Manifest
	farm                 Farm
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
		url:      r.required("url", "set it to the address of your farm, such as https://farm.example.com"),
		keyID:    r.required("key-id", "set it to ${{ secrets.VIAM_KEY_ID }} and check that this secret exists"),
		keyValue: r.required("key-value", "set it to ${{ secrets.VIAM_KEY_VALUE }} and check that this secret exists"),
		version:  r.version(),
		ref:      r.withDefault("ref", "main"),
		token:    r.get("token"),
		workdir:  r.withDefault("workdir", "."),
		wait:     r.wait(),
		metaPath: r.withDefault("meta-path", "meta.json"),
	}
	in.platforms = r.platforms()
	in.farm = s.connect(&r, in)
	if in.manifest = s.readManifest(&r, in.metaPath); in.manifest != nil {
		in.repo = r.repository(in.manifest.URL, s.env.Getenv)
		if len(in.platforms) == 0 {
			in.platforms = in.manifest.Build.Arch
		}
	}
	if len(r.faults)+len(r.manifest) > 0 {
		return inputs{}, &inputError{inputs: r.faults, metaPath: in.metaPath, manifest: r.manifest}
	}
	return in, nil
}

// connect makes the client, which only looks at the address.
func (s *step) connect(r *inputReader, in inputs) Farm {
	if in.url == "" {
		return nil
	}
	farm, err := s.env.Connect(client.Config{URL: in.url, KeyID: in.keyID, Key: in.keyValue, UserAgent: s.env.UserAgent})
	var fault module.Fault
	switch {
	case errors.As(err, &fault):
		r.fault("url", fault.Value, fault.Problem, fault.Advice)
	case err != nil:
		r.fault("url", in.url, err.Error(), "write it as https://farm.example.com")
	}
	return farm
}

// readManifest reads meta.json from the checked-out repository; nil when there is something wrong.
func (s *step) readManifest(r *inputReader, name string) *module.Manifest {
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
	if err == nil {
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

func (r *inputReader) version() module.Version {
	text := r.get("version")
	if text == "" {
		return module.Version{}
	}
	version, err := module.ParseTag(text)
	if err != nil {
		r.fault("version", text, "is no version such as 1.2.3 or v1.2.3-rc1",
			"run the workflow for version tags only, or leave the input empty to build without publishing")
	}
	return version
}

func (r *inputReader) wait() bool {
	switch text := r.get("wait"); strings.ToLower(text) {
	case "", "true":
		return true
	case "false":
		return false
	default:
		r.fault("wait", text, "is neither true nor false", "write one of them")
		return true
	}
}

func (r *inputReader) platforms() []module.Platform {
	var platforms []module.Platform
	words := strings.FieldsFunc(r.get("platforms"), func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) })
	for _, word := range words {
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

// repository is the url of meta.json, or else the repository that the workflow belongs to.
func (r *inputReader) repository(url string, getenv func(string) string) string {
	if url != "" {
		return url
	}
	server, name := getenv("GITHUB_SERVER_URL"), getenv("GITHUB_REPOSITORY")
	if server == "" || name == "" {
		r.fault("meta-path", "", `the file has no "url", and the runner names no repository`, `set "url" to the https address of the repository`)
		return ""
	}
	return server + "/" + name
}
