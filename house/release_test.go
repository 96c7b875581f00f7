package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPinAction holds that a release can name its image by digest in both actions,
// and that nothing else in the files changes.
func TestPinAction(t *testing.T) {
	t.Parallel()
	before, files := map[string]string{}, []string{}
	for _, name := range []string{"action.yml", "upload/action.yml"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "action.yml")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		before[file] = string(text)
		files = append(files, file)
	}
	image := "ghcr.io/modfarm/modfarm@sha256:" + strings.Repeat("0a", 32)
	pin := func(image string) error {
		cmd := exec.CommandContext(t.Context(), "../scripts/pin-action", image)
		cmd.Env = append(os.Environ(), "FILES="+strings.Join(files, " "))
		return cmd.Run()
	}
	if err := pin("ghcr.io/modfarm/modfarm:0.1.0"); err == nil {
		t.Error("a tag was taken for a digest")
	}
	if err := pin(image); err != nil {
		t.Fatal(err)
	}
	for file, text := range before {
		after, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(text, "docker://ghcr.io/modfarm/modfarm:0.1.0", "docker://"+image, 1); string(after) != want {
			t.Errorf("after the release:\n%s", after)
		}
	}
}

// TestReleasedImage holds that the release builds the image for both kinds of runners, pins the digest of the manifest
// that names them all, and publishes both actions with it.
func TestReleasedImage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(root, ".github", "workflows", "release.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"--platform linux/amd64,linux/arm64,", `jq -r '."containerimage.digest"' image.json`, `scripts/pin-action "$IMAGE@$DIGEST"`,
		"action.yml upload/action.yml\n",
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("release.yml lacks %q", want)
		}
	}
}
