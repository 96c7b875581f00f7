package action_test

import (
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
)

var faultLine = regexp.MustCompile(`(?m)^(input |meta\.json: )`)

func TestInputs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		vars map[string]string
		meta string
		want []string
	}{
		"nothing given": {
			map[string]string{"INPUT_URL": "", "INPUT_KEY-ID": "", "INPUT_KEY-VALUE": "", "INPUT_META-PATH": "no/meta.json"},
			metaJSON,
			[]string{"input url: is missing", "input key-id: is missing, as is key-value", "\n    permissions:\n      contents: read\n      id-token: write\n", `input meta-path: "no/meta.json"`, "actions/checkout"},
		},
		"all wrong": {
			map[string]string{"INPUT_URL": "farm", "INPUT_VERSION": "main", "INPUT_PLATFORMS": "linux/amd64, linux/risc any", "INPUT_WAIT": "maybe"},
			metaJSON,
			[]string{`input url: "farm"`, `input version: "main"`, `input platforms: "linux/risc"`, `input platforms: "any": is a wildcard`, `input wait: "maybe"`},
		},
		"meta.json": {
			map[string]string{"INPUT_WAIT": "maybe"},
			strings.ReplaceAll(metaJSON, `"linux/arm64"`, `"linux/risc"`),
			[]string{`input wait: "maybe"`, "meta.json: line 9: build.arch[1]", "linux/risc"},
		},
		"half a key": {map[string]string{"INPUT_KEY-ID": ""}, metaJSON, []string{"input key-id: is missing, and key-value is given"}},
		"the other half": {
			map[string]string{"INPUT_KEY-VALUE": "", "INPUT_PUBLISH": "some", "INPUT_FAIL-FAST": "1"},
			metaJSON,
			[]string{"input key-value: is missing, and key-id is given", `input publish: "some"`, `input fail-fast: "1"`},
		},
		"no build command": {nil, strings.ReplaceAll(metaJSON, `"build": "./build.sh", `, ""), []string{"meta.json: build.build: is empty"}},
		"no repository": {
			map[string]string{"GITHUB_REPOSITORY": ""},
			strings.ReplaceAll(metaJSON, `"url": "https://github.com/acme/widget",`, ""),
			[]string{`input meta-path: the file has no "url"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, succeeds("linux/amd64", "native", 'a'))
			maps.Copy(s.vars, test.vars)
			s.write(t, "meta.json", test.meta)
			err := s.run(t.Context())
			if !errors.Is(err, module.ErrInvalid) {
				t.Fatalf("error = %v, want an invalid input", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one with %q", err, want)
				}
			}
			if got, want := strings.Count(s.out.String(), "::error"), len(faultLine.FindAllString(err.Error(), -1)); got != want {
				t.Errorf("%d annotations for %d faults:\n%s", got, want, s.out.String())
			}
			if s.farm.request.Repo != "" {
				t.Error("a build was started all the same")
			}
		})
	}
}

func TestPlatformsAndRepository(t *testing.T) {
	t.Parallel()
	s := newStage(t, succeeds("linux/arm64", "cross", 'c'))
	s.vars["INPUT_PLATFORMS"] = "linux/arm64,linux/arm64\nlinux/arm/v7"
	s.write(t, "meta.json", strings.ReplaceAll(metaJSON, `"url": "https://github.com/acme/widget",`, ""))
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []module.Platform{{OS: "linux", Arch: "arm64"}, {OS: "linux", Arch: "arm32v7"}}
	if diff := cmp.Diff(want, s.farm.request.Platforms); diff != "" {
		t.Errorf("platforms differ (-want +got):\n%s", diff)
	}
	if got := s.farm.request.Repo; got != "https://github.com/acme/widget-fork" {
		t.Errorf("repo = %q, want the workflow's", got)
	}
	var artifacts []map[string]any
	if err := json.Unmarshal([]byte(s.outputs(t)["artifacts"]), &artifacts); err != nil {
		t.Fatal(err)
	}
	if len(artifacts) != 1 || artifacts[0]["strategy"] != "cross" || artifacts[0]["seconds"] != 12.345 {
		t.Errorf("artifacts = %v, want one by cross in 12.345 s", artifacts)
	}
}

// TestOutsideARunner runs the step by hand: there are no files to write to.
