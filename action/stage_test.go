package action_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/action"
	"github.com/modfarm/modfarm/client"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const metaJSON = `{
  "module_id": "acme:widget",
  "visibility": "private",
  "url": "https://github.com/acme/widget",
  "description": "A widget",
  "models": [{"api": "rdk:component:sensor", "model": "acme:widget:indoor", "markdown_link": "README.md#model-indoor"}],
  "markdown_link": "README.md",
  "entrypoint": "bin/widget",
  "build": {"build": "./build.sh", "path": "dist/archive.tar.gz", "arch": ["linux/amd64", "linux/arm64"]}
}`

const readme = "# widget\n\nAll about it.\n\n## Model indoor\n\nFor rooms.\n\n## Other\n\nNo.\n"

// stage is a step's surroundings: a workspace, the runner's files, and a farm.
type stage struct {
	dir  string
	vars map[string]string
	farm *fakeFarm
	out  bytes.Buffer
}

func newStage(t *testing.T, scripts ...*script) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), farm: &fakeFarm{scripts: scripts}}
	s.vars = map[string]string{
		"GITHUB_WORKSPACE":    s.dir,
		"GITHUB_OUTPUT":       filepath.Join(s.dir, "output"),
		"GITHUB_STEP_SUMMARY": filepath.Join(s.dir, "summary"),
		"GITHUB_SERVER_URL":   "https://github.com",
		"GITHUB_REPOSITORY":   "acme/widget-fork",
		"INPUT_URL":           "https://farm.example.com",
		"INPUT_KEY-ID":        "key-1",
		"INPUT_KEY-VALUE":     "s3cret-value",
		"INPUT_VERSION":       "v0.1.0",
		"INPUT_REF":           "0123456789abcdef0123456789abcdef01234567",
		"INPUT_TOKEN":         "ghs_checkout",
	}
	s.write(t, "meta.json", metaJSON)
	s.write(t, "README.md", readme)
	return s
}

func (s *stage) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) run(ctx context.Context) error { return action.Build(ctx, s.env()) }

func (s *stage) env() action.Env {
	return action.Env{
		Getenv:   func(name string) string { return s.vars[name] },
		Stdout:   &s.out,
		Poll:     time.Microsecond,
		Exchange: s.farm.exchange,
		Connect: func(cfg client.Config) (action.Farm, error) {
			farm, err := s.farm.connect(cfg)
			if err != nil {
				return nil, err
			}
			return farm, nil
		},
	}
}

func (s *stage) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var stopToken = regexp.MustCompile(`::stop-commands::([A-Z2-7]{26})\n`)

// printed is what the step printed, with the random tokens numbered.
func (s *stage) printed(t *testing.T) string {
	t.Helper()
	text := s.out.String()
	for i, match := range stopToken.FindAllStringSubmatch(text, -1) {
		if strings.Count(text, match[1]) != 2 {
			t.Errorf("the token of group %d is printed %d times, want 2", i+1, strings.Count(text, match[1]))
		}
		text = strings.ReplaceAll(text, match[1], "TOKEN-"+string(rune('1'+i)))
	}
	return text
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); go test ./action -update rewrites it:\n%s", path, diff)
	}
}

// outputs reads the file as the runner does.
func (s *stage) outputs(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	lines := strings.Split(s.file(t, "output"), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		name, delimiter, ok := strings.Cut(lines[i], "<<")
		if !ok || lines[i+2] != delimiter {
			t.Fatalf("output file is not in the form NAME<<DELIMITER: %q", lines)
		}
		found[name] = lines[i+1]
	}
	return found
}
