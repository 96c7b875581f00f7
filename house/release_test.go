package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPinAction holds that a release can name its image by digest in action.yml,
// and that nothing else in the file changes.
func TestPinAction(t *testing.T) {
	t.Parallel()
	before, err := os.ReadFile("../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "action.yml")
	if err := os.WriteFile(file, before, 0o644); err != nil {
		t.Fatal(err)
	}
	image := "ghcr.io/modfarm/modfarm@sha256:" + strings.Repeat("0a", 32)
	pin := func(image string) error {
		cmd := exec.CommandContext(t.Context(), "../scripts/pin-action", image)
		cmd.Env = append(os.Environ(), "ACTION="+file)
		return cmd.Run()
	}
	if err := pin("ghcr.io/modfarm/modfarm:0.1.0"); err == nil {
		t.Error("a tag was taken for a digest")
	}
	if err := pin(image); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(string(before), "docker://ghcr.io/modfarm/modfarm:0.1.0", "docker://"+image, 1)
	if string(after) != want {
		t.Errorf("action.yml after the release:\n%s", after)
	}
}
