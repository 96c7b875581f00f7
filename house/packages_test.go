package house_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// modulePath is the prefix of all our import paths.
const modulePath = "github.com/modfarm/modfarm/"

// goPackage is what these tests read of `go list -json`.
type goPackage struct {
	ImportPath string
	Name       string
	Doc        string
	Imports    []string
	GoFiles    []string
}

// listPackages runs `go list` in the root of the tree for the patterns. A package that does not compile
// is listed as far as it can be read: saying so is the compiler's business.
func listPackages(t *testing.T, args ...string) []goPackage {
	t.Helper()

	list := append([]string{"list", "-e", "-json=ImportPath,Name,Doc,Imports,GoFiles"}, args...)
	cmd := exec.CommandContext(t.Context(), "go", list...)
	cmd.Dir = root
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(list, " "), err, complaint.String())
	}

	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("the output of go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// ours cuts the module's path off an import path; ok is false for packages of others.
func ours(importPath string) (path string, ok bool) {
	return strings.CutPrefix(importPath, modulePath)
}
