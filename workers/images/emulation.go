package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/binfmt"
)

// canExecute makes sure that this machine runs programs of platform p, and registers the
// emulator with the kernel where Debian's package has it ready but nobody registered it.
func (m *Maker) canExecute(_ context.Context, p module.Platform) error {
	err := binfmt.Register(p)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: making an image for %s on %s needs emulation; run `apt-get install qemu-user-static`",
			module.ErrUnavailable, p, module.HostPlatform())
	}
	return fmt.Errorf("%w: %w; run `docker run --privileged --rm tonistiigi/binfmt --install all`, or enable binfmt_misc in the kernel",
		module.ErrUnavailable, err)
}
