package images

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/modfarm/modfarm/module"
)

// load packs the new root as one layer and hands it to the engine.
func (b *bootstrapping) load(ctx context.Context) error {
	layer, err := b.packLayer(ctx)
	if err != nil {
		return err
	}
	img, err := assemble(b.recipe, layer, time.Now())
	if err != nil {
		return fmt.Errorf("assembling the image: %w", err)
	}
	return b.loadImage(ctx, b.recipe.Ref(), img)
}

// packLayer writes the new root as a tar file, and its digest is taken on the way.
func (b *bootstrapping) packLayer(ctx context.Context) (*fileLayer, error) {
	file, err := os.Create(filepath.Join(b.work, "layer.tar"))
	if err != nil {
		return nil, fmt.Errorf("packing the root: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	cmd := command(ctx, nil, "tar", "--create", "--numeric-owner", "--sort=name", "--directory="+b.root,
		"--xattrs", "--xattrs-include=security.capability",
		"--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./run/*", "--exclude=./tmp/*", ".")
	buffered := bufio.NewWriterSize(io.MultiWriter(file, hash), 1<<20)
	var complaints tail
	cmd.Stdout, cmd.Stderr = buffered, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("packing the root: tar: %w: %s", err, complaints.text)
	}
	if err := buffered.Flush(); err != nil {
		return nil, fmt.Errorf("packing the root: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("packing the root: %w", err)
	}
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(hash.Sum(nil))}
	return &fileLayer{file: file.Name(), digest: digest, size: info.Size()}, nil
}

// tail keeps the last kilobyte written to it.
type tail struct{ text []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-1024):]
	return len(p), nil
}

// fileLayer is a layer that lies uncompressed in a file and whose digest is known.
type fileLayer struct {
	file   string
	digest v1.Hash
	size   int64
}

var _ v1.Layer = (*fileLayer)(nil)

// Digest is that of the uncompressed file, as it is never compressed.
func (l *fileLayer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID equals Digest.
func (l *fileLayer) DiffID() (v1.Hash, error) { return l.digest, nil }

// Compressed is the file as it is.
func (l *fileLayer) Compressed() (io.ReadCloser, error) { return os.Open(l.file) }

// Uncompressed is the file as it is.
func (l *fileLayer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.file) }

// Size is the file's, in bytes.
func (l *fileLayer) Size() (int64, error) { return l.size, nil }

// MediaType is that of a layer without compression.
func (l *fileLayer) MediaType() (types.MediaType, error) { return types.DockerUncompressedLayer, nil }

// assemble makes an image of one layer, with platform, environment and labels.
func assemble(r Recipe, layer v1.Layer, made time.Time) (v1.Image, error) {
	img, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: made.UTC()}, CreatedBy: "modfarm images"},
	})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = r.Platform.GOOS(), r.Platform.GOARCH(), variant(r.Platform)
	config.Created = v1.Time{Time: made.UTC()}
	config.Config = v1.Config{Env: r.env(), Cmd: []string{"/bin/bash"}, Labels: r.labels("bootstrap")}
	return mutate.ConfigFile(img, config)
}

// variant is the ARM revision as engines record it, "v8" or "v7".
func variant(p module.Platform) string {
	switch p.GOARCH() {
	case "arm64":
		return "v8"
	case "arm":
		return "v" + p.GOARM()
	}
	return ""
}

// loadImage streams an image to the engine under the name ref.
func (m *Maker) loadImage(ctx context.Context, ref string, img v1.Image) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("naming the image: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	out, in := io.Pipe()
	go func() { in.CloseWithError(tarball.Write(tag, img, in)) }()
	defer out.Close()
	resp, err := m.Docker.ImageLoad(ctx, out)
	if err != nil {
		return fmt.Errorf("loading the image into the container engine: %w", err)
	}
	defer resp.Close()
	if err := readMessages(resp); err != nil {
		return fmt.Errorf("loading the image into the container engine: %w", err)
	}
	return nil
}

// readMessages reads an engine's stream of JSON messages to its end; a message of an
// error is returned as one.
func readMessages(r io.Reader) error {
	messages := json.NewDecoder(r)
	for {
		var message struct {
			Error string `json:"error"`
		}
		err := messages.Decode(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if message.Error != "" {
			return errors.New(message.Error)
		}
	}
}
