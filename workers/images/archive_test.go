package images_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/modfarm/modfarm/workers/images"
)

// The archive is read back by the library's own reader, as an engine would.
func TestArchiveRecordsPlatformAndLayer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ platform, os, arch, variant string }{
		{"linux/amd64", "linux", "amd64", ""},
		{"linux/arm64", "linux", "arm64", "v8"},
		{"linux/arm32v7", "linux", "arm", "v7"},
	} {
		t.Run(tt.platform, func(t *testing.T) {
			t.Parallel()
			r, err := images.Builder(platform(t, tt.platform), "")
			if err != nil {
				t.Fatal(err)
			}
			content := bytes.Repeat([]byte("layer "), 1000)
			sum := sha256.Sum256(content)
			file := filepath.Join(t.TempDir(), "layer.tar")
			if err := os.WriteFile(file, content, 0o644); err != nil {
				t.Fatal(err)
			}
			layer := images.FileLayer(file, hex.EncodeToString(sum[:]), int64(len(content)))
			img, err := images.Assemble(r, layer, time.Unix(1e9, 0))
			if err != nil {
				t.Fatal(err)
			}
			tag, err := name.NewTag(r.Ref())
			if err != nil {
				t.Fatal(err)
			}
			archive := filepath.Join(t.TempDir(), "image.tar")
			if err := tarball.WriteToFile(archive, tag, img); err != nil {
				t.Fatal(err)
			}
			got, err := tarball.ImageFromPath(archive, &tag)
			if err != nil {
				t.Fatal(err)
			}
			config, err := got.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.os, tt.arch, tt.variant}, []string{config.OS, config.Architecture, config.Variant}); diff != "" {
				t.Error(diff)
			}
			if config.Config.Labels["io.modfarm.image.recipe"] != r.Hash() {
				t.Errorf("labels %v lack the recipe's hash", config.Config.Labels)
			}
			if !slices.Contains(config.Config.Env, "GOTOOLCHAIN=local") {
				t.Errorf("environment %v lets go fetch other toolchains", config.Config.Env)
			}
			layers, err := got.Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("%d layers, %v; want one", len(layers), err)
			}
			plain, err := layers[0].Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			if data, err := io.ReadAll(plain); err != nil || !bytes.Equal(data, content) {
				t.Errorf("the layer has %d bytes (%v), want the %d that went in", len(data), err, len(content))
			}
		})
	}
}
