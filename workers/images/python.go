package images

import (
	"context"
	"os/exec"
	"path/filepath"

	"github.com/modfarm/modfarm/module"
)

// badPython matches the files that are meant not to compile.
const badPython = `lib2to3/tests|bad_coding|badsyntax|/turtledemo/`

// compilePython byte-compiles all Python of the new root. Byte code is the same for every
// architecture, so this machine's own Python does it when it is of the same release. A
// file that does not compile is no error: Python then reads its source.
func (b *bootstrapping) compilePython(ctx context.Context) error {
	libs, err := filepath.Glob(filepath.Join(b.root, "usr/lib/python3*"))
	if err != nil || len(libs) == 0 {
		return err
	}
	b.say("byte-compiling Python for %s", b.recipe.Platform)
	args := []string{"-m", "compileall", "-q", "-j", "0", "-x", badPython}
	var cmd *exec.Cmd
	if b.recipe.Platform != module.HostPlatform() && b.samePython(ctx) {
		cmd = command(ctx, nil, "python3", append(append(args, "-s", b.root, "-p", "/"), libs...)...)
	} else {
		for _, lib := range libs {
			args = append(args, lib[len(b.root):])
		}
		cmd = b.inRoot(ctx, append([]string{"python3"}, args...)...)
	}
	if _, err := b.output(cmd, "byte-compiling Python"); err != nil && ctx.Err() == nil {
		b.log().Warn("some Python files were not byte-compiled", "image", b.recipe.Ref(), "error", err)
	}
	return ctx.Err()
}

// samePython reports whether this machine's Python writes the byte code that the image's
// reads: each release has a magic number for that.
func (b *bootstrapping) samePython(ctx context.Context) bool {
	const show = "import importlib.util; print(importlib.util.MAGIC_NUMBER.hex())"
	if _, err := exec.LookPath("python3"); err != nil {
		return false
	}
	host, err := b.output(command(ctx, nil, "python3", "-I", "-c", show), "asking for Python's release")
	if err != nil {
		return false
	}
	image, err := b.output(b.inRoot(ctx, "python3", "-I", "-c", show), "asking for Python's release")
	return err == nil && host == image
}
