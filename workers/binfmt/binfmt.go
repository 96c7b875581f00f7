// Package binfmt tells the kernel which emulator runs the programs of a foreign
// platform. It owns the registration of QEMU from the lines that Debian's
// qemu-user-static ships, and nothing else: it never proves that the emulator
// works, and never replaces what is registered.
package binfmt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/modfarm/modfarm/module"
)

// table is where the kernel keeps its interpreters, and lines where Debian's
// qemu-user-static describes them (flag F: the kernel opens the interpreter at
// once, so that containers need not have it).
const (
	table = "/proc/sys/fs/binfmt_misc"
	lines = "/usr/lib/binfmt.d"
)

// Register makes the kernel run programs of p. It does nothing where they run
// already. The error wraps fs.ErrNotExist when no emulator is installed; other
// errors mean that this process may not register one.
func Register(p module.Platform) error {
	name := emulator(p)
	if name == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(table, name)); err == nil {
		return nil
	}
	line, err := os.ReadFile(filepath.Join(lines, name+".conf"))
	if err != nil {
		return fmt.Errorf("read how to register %s: %w", name, err)
	}
	if err := mount(); err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(table, "register"), line, 0o200)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return fmt.Errorf("register %s: %w", name, err)
}

// Registered says whether the kernel runs programs of p: nil when it does, and an error that wraps fs.ErrNotExist when
// no emulator is registered.
func Registered(p module.Platform) error {
	name := emulator(p)
	if name == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(table, name)); err != nil {
		return fmt.Errorf("look for the emulator of %s: %w", p, err)
	}
	return nil
}

// emulator is the kernel's name of what runs programs of p; empty for the machine's own and for those without one.
func emulator(p module.Platform) string {
	if p == module.HostPlatform() {
		return ""
	}
	return map[string]string{"arm64": "qemu-aarch64", "arm32v7": "qemu-arm", "arm32v6": "qemu-arm", "amd64": "qemu-x86_64"}[p.Arch]
}
