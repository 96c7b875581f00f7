package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/modfarm/modfarm/module"
)

// compileGo makes the toolchain of a platform for which none is published with a pinned
// checksum: it is compiled from the sources in the toolchain of this machine's platform,
// by that same toolchain. It takes a minute or two.
func (m *Maker) compileGo(ctx context.Context, p module.Platform, dir string) error {
	host := module.HostPlatform()
	if goSum(host) == "" {
		return fmt.Errorf("%w: Go for %s has to be compiled on linux/amd64 or linux/arm64, and this machine is %s", module.ErrUnavailable, p, host)
	}
	if err := m.installGo(ctx, host, dir); err != nil {
		return err
	}
	m.say("compiling Go %s for %s (a minute or two)", goRelease, p)
	work, err := os.MkdirTemp(filepath.Dir(dir), "go-build-")
	if err != nil {
		return fmt.Errorf("compiling Go: %w", err)
	}
	defer os.RemoveAll(work)
	commands := filepath.Join(work, "bin")
	tools := filepath.Join(dir, "pkg/tool", p.GOOS()+"_"+p.GOARCH())
	for _, target := range []struct {
		dir      string
		packages []string
	}{
		{commands, []string{"cmd/go", "cmd/gofmt"}},
		{tools, []string{"cmd/asm", "cmd/cgo", "cmd/compile", "cmd/cover", "cmd/fix", "cmd/link", "cmd/preprofile", "cmd/vet"}},
	} {
		if err := os.MkdirAll(target.dir, 0o755); err != nil {
			return fmt.Errorf("compiling Go: %w", err)
		}
		args := append([]string{"build", "-trimpath", "-o", target.dir + "/"}, target.packages...)
		cmd := command(ctx, []string{
			"GOROOT=" + dir, "GOOS=" + p.GOOS(), "GOARCH=" + p.GOARCH(), "GOARM=" + p.GOARM(), "CGO_ENABLED=0",
			"GOTOOLCHAIN=local", "GOFLAGS=-mod=vendor", "GOENV=off", "GOWORK=off", "GOCACHE=" + filepath.Join(work, "cache"),
		}, filepath.Join(dir, "bin/go"), args...)
		cmd.Dir = filepath.Join(dir, "src/cmd")
		if _, err := m.output(cmd, "compiling Go for "+p.String()); err != nil {
			return err
		}
	}
	return swapGo(dir, commands, "linux_"+host.GOARCH())
}

// swapGo replaces the host's programs in a toolchain with the compiled ones.
func swapGo(dir, commands, hostTools string) error {
	return errors.Join(
		os.RemoveAll(filepath.Join(dir, "bin")),
		os.Rename(commands, filepath.Join(dir, "bin")),
		os.RemoveAll(filepath.Join(dir, "pkg/tool", hostTools)),
	)
}
