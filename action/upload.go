package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// uploadInputs are the inputs of the upload step, checked.
type uploadInputs struct {
	access
	update, upload bool
	what           client.NewUpload
	path           string
	metaPath       string
	manifest       *module.Manifest // nil without a meta.json
	farm           Farm
}

// unreadByUpload are inputs of the stock upload action that change nothing, and why.
var unreadByUpload = map[string]string{ //nolint:gochecknoglobals // a constant that Go cannot spell as one
	"cli-config-secret":  "key-id and key-value, or the workflow's identity, log in",
	"cli-config-command": "no command line is run",
	"cli-version":        "no command line is downloaded",
}

// readUpload names everything that is wrong with inputs and meta.json at once.
func (s *step) readUpload() (uploadInputs, error) {
	r := inputReader{get: s.gh.GetInput}
	in := uploadInputs{
		access:   s.readAccess(&r),
		update:   r.flag("do-update", true),
		upload:   r.flag("do-upload", true),
		path:     r.withDefault("module-path", "module.tar.gz"),
		metaPath: r.get("meta-path"), // empty means that there is none, as the stock action has it
	}
	in.farm = s.connect(&r, in.access)
	if in.metaPath != "" {
		in.manifest = s.readManifest(&r, in.metaPath, false)
	}
	in.what.Module = r.module(in.manifest, in.metaPath)
	if in.upload {
		in.what.Version, in.what.Platform = r.uploadVersion(in.manifest, s.folderOf(in.metaPath)), r.platform()
		in.what.Tags, in.what.Force = r.list("tags"), r.flag("force", false)
		if _, err := os.Stat(s.inWorkspace(in.path)); err != nil {
			r.fault("module-path", in.path, "this archive is not in the workspace", "build it in an earlier step, or name it where it is")
		}
	}
	return in, r.err(in.metaPath)
}

// module is the one that meta.json names, or without one the other inputs. They must not contradict each other.
func (r *inputReader) module(m *module.Manifest, metaPath string) module.ID {
	name, owner := r.get("name"), r.get("org-id")+r.get("namespace")
	if r.get("org-id") != "" && r.get("namespace") != "" {
		r.fault("org-id", r.get("org-id"), "says the same as namespace", "give one of them")
	}
	if m != nil {
		if name != "" && name != m.ID.Name {
			r.fault("name", name, "is not the module of "+metaPath+", which is "+m.ID.String(), "leave it out, or empty meta-path")
		}
		return m.ID
	}
	if metaPath != "" {
		return module.ID{} // what is wrong with it has been said
	}
	if name == "" || owner == "" {
		r.fault("name", name, "and namespace or org-id are needed where there is no meta.json", "give both, or name the file as meta-path")
		return module.ID{}
	}
	id, err := module.ParseID(owner + ":" + name)
	if err != nil {
		r.fault("name", owner+":"+name, err.Error(), "")
	}
	return id
}

func (r *inputReader) uploadVersion(m *module.Manifest, folder string) module.Version {
	if r.get("version") == "" {
		r.fault("version", "", "is missing", "say which version this is, as ${{ github.ref_name }} of a version tag, or set do-upload to false")
		return module.Version{}
	}
	return r.version(m, folder)
}

func (r *inputReader) platform() module.Platform {
	text := r.get("platform")
	platform, err := module.ParsePlatform(text)
	switch {
	case text == "":
		r.fault("platform", "", "is missing", "say whose archive this is, as linux/arm64, linux/any or any")
	case err != nil:
		r.fault("platform", text, "is no platform", "write it as linux/arm64, linux/any or any")
	}
	return platform
}

func (s *step) upload(ctx context.Context) error {
	in, err := s.readUpload()
	if err != nil {
		return s.fail(err)
	}
	s.ignored(unreadByUpload)
	if in.manifest != nil {
		s.hint(in.metaPath, in.manifest)
	}
	if err := s.logIn(ctx, in.access, in.farm); err != nil {
		return s.fail(err)
	}
	done, err := s.publish(ctx, in)
	if err != nil {
		return s.fail(err)
	}
	if done != nil {
		s.reportUpload(in, *done)
	}
	return nil
}

// uploadResult is an archive that is published, now or before.
type uploadResult struct {
	client.Uploaded
	before bool
}

// publish inspects the archive before anything is sent or changed; nil when only metadata was asked for.
func (s *step) publish(ctx context.Context, in uploadInputs) (*uploadResult, error) {
	if !in.upload {
		return nil, s.updateOnly(ctx, in)
	}
	expect, err := in.expect(ctx)
	if err != nil {
		return nil, err
	}
	file, done, err := archive.Open(ctx, s.env.Getenv("GITHUB_WORKSPACE"), in.path)
	if err != nil {
		return nil, fmt.Errorf("input module-path: %w", err)
	}
	defer done()
	report, err := archive.Inspect(ctx, file, expect)
	if err != nil {
		return nil, fmt.Errorf("input module-path: %s: %w", in.path, err)
	}
	in.what.SHA256 = report.SHA256
	s.say(fmt.Sprintf("%s: %d files, %s, sha256:%s", in.path, report.Entries, sizeText(report.Size), report.SHA256))
	if err := s.updateOnly(ctx, in); err != nil {
		return nil, err
	}
	before, err := in.published(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at what %s has of %s: %w", in.what.Version, in.what.Module, err)
	}
	got, err := in.farm.Upload(ctx, in.what, file, s.progress())
	if err != nil {
		return nil, fmt.Errorf("upload %s: %w", in.path, err)
	}
	return &uploadResult{Uploaded: got, before: before}, nil
}

func (s *step) updateOnly(ctx context.Context, in uploadInputs) error {
	if !in.update || in.manifest == nil {
		return nil
	}
	return s.describe(ctx, in.farm, in.metaPath, in.manifest)
}

// expect says what the archive must be: by meta.json, or by what the farm knows of the module.
func (in uploadInputs) expect(ctx context.Context) (archive.Expect, error) {
	e := archive.Expect{Platform: in.what.Platform, LenientEntrypoint: in.what.Force}
	if in.manifest != nil {
		e.Entrypoint, e.FirstRun = in.manifest.Entrypoint, in.manifest.FirstRun
		return e, nil
	}
	info, err := in.farm.Module(ctx, in.what.Module)
	if err != nil {
		return e, fmt.Errorf("look up %s: %w", in.what.Module, err)
	}
	e.Entrypoint = info.Entrypoint
	return e, nil
}

// published reports whether this very archive is published already. Another one of the same name is for the farm to
// refuse, which says why.
func (in uploadInputs) published(ctx context.Context) (bool, error) {
	releases, err := in.farm.Releases(ctx, in.what.Module, in.what.Version)
	if errors.Is(err, module.ErrNotFound) {
		return false, nil
	}
	return slices.ContainsFunc(releases, func(r module.Release) bool {
		return r.Platform == in.what.Platform && r.SHA256 == in.what.SHA256 && sameTags(r.Tags, in.what.Tags)
	}), err
}

func sameTags(a, b []string) bool {
	sorted := func(tags []string) []string { return slices.Compact(slices.Sorted(slices.Values(tags))) }
	return slices.Equal(sorted(a), sorted(b))
}

// progress prints a line for each tenth that was sent: a log has no bar that could move.
func (s *step) progress() func(sent, total int64) {
	const tenths = 10
	var told int64
	return func(sent, total int64) {
		if total <= 0 {
			return
		}
		if now := sent * tenths / total; now > told {
			told = now
			s.say(fmt.Sprintf("sent %d %% of %s", now*100/tenths, sizeText(total)))
		}
	}
}

// reportUpload writes outputs, warnings and the summary.
func (s *step) reportUpload(in uploadInputs, done uploadResult) {
	s.setOutput("version", in.what.Version.String())
	s.setOutput("sha256", done.SHA256)
	s.setOutput("size", strconv.FormatInt(done.Size, 10))
	s.setOutput("already-published", strconv.FormatBool(done.before))
	for _, warning := range done.Warnings {
		s.gh.Warningf("%s", s.redact(in.what.Platform.String()+": "+warning))
	}
	said := "published"
	if done.before {
		said = "was published already, with the same contents"
	}
	s.say(fmt.Sprintf("%s %s %s %s: %d bytes, sha256:%s", in.what.Module, in.what.Version, in.what.Platform, said, done.Size, done.SHA256))
	if s.env.Getenv("GITHUB_STEP_SUMMARY") != "" {
		s.gh.AddStepSummary(s.redact(uploadSummary(in, done, said)))
	}
}

func uploadSummary(in uploadInputs, done uploadResult, said string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s %s %s\n\n%s %s\n\n", cell(in.what.Module.String()), cell(in.what.Version.String()),
		in.what.Platform, in.what.Platform, said)
	b.WriteString("| size | digest | tags |\n|---:|---|---|\n")
	fmt.Fprintf(&b, "| %s | %s | %s |\n", sizeText(done.Size), digestText(done.SHA256), cell(strings.Join(in.what.Tags, ", ")))
	for _, warning := range done.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s\n", cell(warning))
	}
	return b.String()
}
