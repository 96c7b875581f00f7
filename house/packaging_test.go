package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/modfarm (.*)$`)

// TestPackagedUnits: the units start commands with flags that exist, the variables that they name mean
// something, and systemd, where it is installed, finds nothing wrong with them.
func TestPackagedUnits(t *testing.T) {
	t.Parallel()

	program := buildModfarm(t)
	known := namesInSource(t)
	for _, flag := range allFlags(t, program, nil) {
		known = append(known, "MODFARM_"+strings.ToUpper(strings.ReplaceAll(flag[2:], "-", "_")))
	}
	units, err := filepath.Glob(filepath.Join(root, "packaging", "systemd", "*.service"))
	if err != nil || len(units) != 2 {
		t.Fatalf("units: %q, %v", units, err)
	}
	settings, err := filepath.Glob(filepath.Join(root, "packaging", "systemd", "*.env"))
	if err != nil || len(settings) != 2 {
		t.Fatalf("settings: %q, %v", settings, err)
	}
	for _, file := range slices.Concat(units, settings) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range environmentName.FindAllString(string(data), -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s: nothing reads %s", file, name)
			}
		}
	}
	dir := t.TempDir()
	for i, unit := range units {
		data, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		start := execStart.FindStringSubmatch(string(data))
		if start == nil {
			t.Errorf("%s starts no modfarm", unit)
			continue
		}
		if fault := checkModfarm(t, program, strings.Fields(start[1])); fault != "" {
			t.Errorf("%s: %s", unit, fault)
		}
		// systemd looks for the program, which is elsewhere here.
		units[i] = filepath.Join(dir, filepath.Base(unit))
		text := strings.ReplaceAll(string(data), "/usr/local/bin/modfarm", program)
		if err := os.WriteFile(units[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the units' own words are not checked")
		return
	}
	out, err := exec.CommandContext(t.Context(), verify, append([]string{"verify"}, units...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

var packageSource = regexp.MustCompile(`(?m)^  - src: (\S+)$`)

// TestPackageSources: what the deb and the rpm take from the tree is there. What scripts/release-dry makes
// is in dist.
func TestPackageSources(t *testing.T) {
	t.Parallel()

	config, err := os.ReadFile(filepath.Join(root, "packaging", "nfpm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, match := range packageSource.FindAllStringSubmatch(string(config), -1) {
		if strings.HasPrefix(match[1], "dist/") || strings.HasPrefix(match[1], "$") {
			continue
		}
		seen++
		if files, err := filepath.Glob(filepath.Join(root, match[1])); err != nil || len(files) == 0 {
			t.Errorf("packaging/nfpm.yaml: %s matches nothing (%v)", match[1], err)
		}
	}
	if seen < 5 {
		t.Errorf("only %d sources found in packaging/nfpm.yaml", seen)
	}
}

// TestPackagingIsDocumented: a file that nobody is told of is not used.
func TestPackagingIsDocumented(t *testing.T) {
	t.Parallel()

	page, err := os.ReadFile(filepath.Join(root, "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "packaging", "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("packaging: %q, %v", files, err)
	}
	for _, file := range files {
		if rel := strings.TrimPrefix(file, root+string(filepath.Separator)); !strings.Contains(string(page), "../"+rel) {
			t.Errorf("docs/operate.md does not link to %s", rel)
		}
	}
}

func isFile(name string) bool {
	info, err := os.Stat(filepath.Join(root, name))
	return err == nil && info.Mode().IsRegular()
}
