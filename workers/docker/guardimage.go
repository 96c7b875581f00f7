package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/module"
)

const (
	// labelGuard is on images of guards, and says nothing more.
	labelGuard = "dev.modfarm.guard"
	guardRepo  = "modfarm/guard"
	// guardImageAge is after what time the image of another program is taken away: an upgrade leaves one behind, and
	// workers of two versions on one engine shall not take each other's.
	guardImageAge = time.Hour
)

// guardImage is an image with nothing but the program that guards networks.
type guardImage struct {
	program string
	ref     string
	host    module.Platform
	layer   digest // of the layer's archive
	size    int64  // of the program
}

type digest string

const thisFile = "/proc/self/exe"

// thisProgram is the file that this process runs, also when another one took its name since.
func thisProgram() (string, error) {
	if runtime.GOOS == "linux" {
		return thisFile, nil
	}
	return os.Executable()
}

// newGuardImage looks at the program and names its image by its content.
func newGuardImage(program string, host module.Platform) (*guardImage, error) {
	if program == "" {
		var err error
		if program, err = thisProgram(); err != nil {
			return nil, fmt.Errorf("find the program that guards networks: %w", err)
		}
	}
	f, err := os.Open(program)
	if err != nil {
		return nil, fmt.Errorf("open the program that guards networks: %w", err)
	}
	defer f.Close()
	if err := fitForGuard(f, host); err != nil {
		if path, perr := os.Executable(); perr == nil && program == thisFile {
			program = path // for people
		}
		return nil, fmt.Errorf("%w: builds are guarded by modfarm itself in a container, and %s %w", module.ErrUnavailable, program, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the program that guards networks: %w", err)
	}
	i := &guardImage{program: program, host: host, size: info.Size()}
	h := sha256.New()
	if err := i.writeLayer(h, f); err != nil {
		return nil, fmt.Errorf("read the program that guards networks: %w", err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	i.layer, i.ref = digest("sha256:"+sum), guardRepo+":"+sum[:12]
	return i, nil
}

// fitForGuard checks that a program runs by itself in an empty container of the engine.
func fitForGuard(f io.ReaderAt, host module.Platform) error {
	const cure = "run the modfarm of the releases for %s, or build it with CGO_ENABLED=0 GOOS=linux GOARCH=%s"
	e, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("is no Linux program: "+cure, host, host.GOARCH())
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM}
	if e.Machine != machines[host.GOARCH()] {
		return fmt.Errorf("is a program for %s, and the Docker engine is %s: "+cure, e.Machine, host, host, host.GOARCH())
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("needs libraries of this machine: "+cure, host, host.GOARCH())
		}
	}
	return nil
}

// writeLayer writes the layer: the program, always with the same bytes.
func (i *guardImage) writeLayer(w io.Writer, program io.ReaderAt) error {
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Name: "modfarm", Mode: 0o755, Size: i.size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := io.Copy(t, io.NewSectionReader(program, 0, i.size)); err != nil {
		return err
	}
	return t.Close()
}

// ensure gives the image to the engine when it lacks it, and takes those of earlier programs away.
func (i *guardImage) ensure(ctx context.Context, engine *client.Client) error {
	if _, err := engine.ImageInspect(ctx, i.ref); err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(i.writeArchive(w)) }()
	defer r.Close()
	res, err := engine.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("load the image that guards networks: %w", err)
	}
	defer res.Close()
	if _, err := io.Copy(io.Discard, res); err != nil {
		return fmt.Errorf("load the image that guards networks: %w", err)
	}
	i.removeOthers(ctx, engine)
	return nil
}

// writeArchive writes what `docker save` would. The program is streamed, not held.
func (i *guardImage) writeArchive(w io.Writer) error {
	f, err := os.Open(i.program)
	if err != nil {
		return err
	}
	defer f.Close()
	platform := ociPlatform(i.host)
	config, err := json.Marshal(map[string]any{
		"os": platform.OS, "architecture": platform.Architecture, "variant": platform.Variant, "created": time.Now().UTC(),
		"config": map[string]any{"Entrypoint": []string{"/modfarm", "guard"}, "Labels": map[string]string{labelGuard: ""}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []digest{i.layer}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{i.ref}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, part := range []struct {
		name string
		data []byte
	}{{"config.json", config}, {"manifest.json", manifest}} {
		if err := t.WriteHeader(&tar.Header{Name: part.name, Mode: 0o644, Size: int64(len(part.data)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.Copy(t, bytes.NewReader(part.data)); err != nil {
			return err
		}
	}
	const block = 512
	layer := block + (i.size+block-1)/block*block + 2*block // header, padded content, end
	if err := t.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: layer, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if err := i.writeLayer(t, f); err != nil {
		return err
	}
	return t.Close()
}

// removeOthers takes images of earlier programs away. Those in use stay, and one that was taken too early is loaded
// again by whoever misses it.
func (i *guardImage) removeOthers(ctx context.Context, engine *client.Client) {
	list, err := engine.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("label", labelGuard)})
	if err != nil {
		return // the next one tries again
	}
	for _, image := range list.Items {
		if time.Since(time.Unix(image.Created, 0)) < guardImageAge {
			continue
		}
		for _, tag := range image.RepoTags {
			if tag != i.ref {
				_, _ = engine.ImageRemove(ctx, tag, client.ImageRemoveOptions{PruneChildren: true}) // refused while in use
			}
		}
	}
}

// errGuard is wrapped by everything that keeps a network from being guarded.
var errGuard = errors.New("the network of the build cannot be guarded")
