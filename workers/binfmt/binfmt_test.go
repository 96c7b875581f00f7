package binfmt_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/binfmt"
)

// TestRegister registers for real, twice: root on Linux can, and the kernel then
// shows the emulator.
func TestRegister(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("registering an emulator needs root")
	}
	foreign := module.Platform{OS: "linux", Arch: "arm64"}
	entry := "/proc/sys/fs/binfmt_misc/qemu-aarch64"
	if module.HostPlatform() == foreign {
		foreign, entry = module.Platform{OS: "linux", Arch: "amd64"}, "/proc/sys/fs/binfmt_misc/qemu-x86_64"
	}
	for range 2 {
		if err := binfmt.Register(foreign); err != nil {
			if _, missing := exec.LookPath("qemu-aarch64-static"); missing != nil && errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") == "" {
				t.Skip("qemu-user-static is not installed")
			}
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(entry); err != nil {
		t.Errorf("the kernel does not know the emulator: %v", err)
	}
}

// TestRegisterNothing leaves the machine's own platform and those without an emulator alone.
func TestRegisterNothing(t *testing.T) {
	t.Parallel()
	for _, p := range []module.Platform{module.HostPlatform(), {OS: "darwin", Arch: "any"}} {
		if err := binfmt.Register(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
