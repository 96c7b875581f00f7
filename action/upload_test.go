package action_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/action"
	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// newUploadStage is a step that has an archive with a script.
func newUploadStage(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	delete(s.vars, "INPUT_REF")
	delete(s.vars, "INPUT_TOKEN")
	maps.Copy(s.vars, map[string]string{"INPUT_META-PATH": "meta.json", "INPUT_PLATFORM": "linux/arm64", "INPUT_TAGS": "distro:debian, cuda:12"})
	s.write(t, "module.tar.gz", tarOf(t, "bin/widget", "#!/bin/sh\necho hello\n"))
	return s
}

func tarOf(t *testing.T, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = archive.Write([]byte(content))
	}
	if err := errors.Join(err, archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUpload(t *testing.T) {
	t.Parallel()
	s := newUploadStage(t)
	s.vars["INPUT_CLI-VERSION"] = "stable"
	if err := action.Upload(t.Context(), s.env()); err != nil {
		t.Fatal(err)
	}
	content := s.file(t, "module.tar.gz")
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	version, _ := module.ParseVersion("0.1.0")
	want := client.NewUpload{
		Module: module.ID{Namespace: "acme", Name: "widget"}, Version: version, Platform: module.Platform{OS: "linux", Arch: "arm64"},
		Tags: []string{"distro:debian", "cuda:12"}, SHA256: digest,
	}
	if diff := cmp.Diff(want, s.farm.uploaded); diff != "" || string(s.farm.content) != content {
		t.Errorf("uploaded %d bytes, differs (-want +got):\n%s", len(s.farm.content), diff)
	}
	if s.farm.manifest == nil || s.farm.docs[""] != readme {
		t.Error("the metadata was not updated")
	}
	out := s.outputs(t)
	if out["version"] != "0.1.0" || out["sha256"] != digest || out["size"] == "" || out["already-published"] != "false" {
		t.Errorf("outputs: %v", out)
	}
	text := s.out.String()
	for _, want := range []string{"sent 100 % of", "::warning::linux/arm64: bin/x.exe is for windows", "::notice::input cli-version is ignored"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the step does not print once %q:\n%s", want, text)
		}
	}
	if !strings.Contains(s.file(t, "summary"), "`sha256:"+digest+"`") {
		t.Errorf("summary:\n%s", s.file(t, "summary"))
	}

	s.farm.releases = []module.Release{{Platform: want.Platform, SHA256: digest, Tags: []string{"cuda:12", "distro:debian"}}}
	s.write(t, "output", "")
	if err := action.Upload(t.Context(), s.env()); err != nil {
		t.Fatal(err)
	}
	if out := s.outputs(t); out["already-published"] != "true" {
		t.Errorf("outputs: %v", out)
	}
}

// TestUploadIsLookedAtFirst: what is wrong with an archive or the inputs changes nothing on the farm.
func TestUploadIsLookedAtFirst(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		vars map[string]string
		prep func(t *testing.T, s *stage)
		want []string
	}{
		"inputs": {
			map[string]string{"INPUT_VERSION": "", "INPUT_PLATFORM": "linux/risc", "INPUT_MODULE-PATH": "no.tar.gz", "INPUT_DO-UPDATE": "1"},
			nil,
			[]string{"input version: is missing", `input platform: "linux/risc"`, `input module-path: "no.tar.gz"`, `input do-update: "1"`},
		},
		"no module": {
			map[string]string{"INPUT_META-PATH": "", "INPUT_NAME": "widget"}, nil, []string{"input name: \"widget\": and namespace or org-id are needed"},
		},
		"another module": {map[string]string{"INPUT_NAME": "gadget"}, nil, []string{`input name: "gadget": is not the module of meta.json`}},
		"archive": {
			nil, func(t *testing.T, s *stage) { t.Helper(); s.write(t, "module.tar.gz", tarOf(t, "../evil", "x")) },
			[]string{"input module-path: module.tar.gz", "../evil"},
		},
		"entrypoint": {
			nil, func(t *testing.T, s *stage) { t.Helper(); s.write(t, "module.tar.gz", tarOf(t, "bin/other", "x")) },
			[]string{"input module-path: module.tar.gz", "bin/widget"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newUploadStage(t)
			maps.Copy(s.vars, test.vars)
			if test.prep != nil {
				test.prep(t, s)
			}
			err := action.Upload(t.Context(), s.env())
			if !errors.Is(err, module.ErrInvalid) {
				t.Fatalf("error = %v, want an invalid input", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if s.farm.manifest != nil || s.farm.content != nil {
				t.Error("something was changed on the farm")
			}
		})
	}
}

// TestUploadInParts: the metadata alone, the archive alone, and a module without a meta.json.
func TestUploadInParts(t *testing.T) {
	t.Parallel()
	t.Run("metadata", func(t *testing.T) {
		t.Parallel()
		s := newUploadStage(t)
		s.vars["INPUT_DO-UPLOAD"], s.vars["INPUT_VERSION"], s.vars["INPUT_PLATFORM"] = "false", "", ""
		if err := action.Upload(t.Context(), s.env()); err != nil || s.farm.manifest == nil || s.farm.content != nil {
			t.Errorf("%v, manifest %v", err, s.farm.manifest)
		}
	})
	t.Run("archive", func(t *testing.T) {
		t.Parallel()
		s := newUploadStage(t)
		s.vars["INPUT_DO-UPDATE"] = "false"
		if err := action.Upload(t.Context(), s.env()); err != nil || s.farm.manifest != nil || s.farm.content == nil {
			t.Errorf("%v, manifest %v", err, s.farm.manifest)
		}
	})
	t.Run("without meta.json", func(t *testing.T) {
		t.Parallel()
		s := newUploadStage(t)
		s.vars["INPUT_META-PATH"], s.vars["INPUT_NAME"], s.vars["INPUT_NAMESPACE"] = "", "gadget", "acme"
		s.write(t, "module.tar.gz", tarOf(t, "run.sh", "#!/bin/sh\n"))
		if err := action.Upload(t.Context(), s.env()); err != nil || s.farm.uploaded.Module.String() != "acme:gadget" {
			t.Errorf("%v, uploaded %s", err, s.farm.uploaded.Module)
		}
	})
}
