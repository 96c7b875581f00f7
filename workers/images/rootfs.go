package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// makeRoot lays out an empty root: a merged /usr, dpkg's empty database, the devices that
// maintainer scripts write to.
func (b *bootstrapping) makeRoot() error {
	dirs := []string{
		"dev/shm", "etc", "proc", "run", "sys", "tmp", "root", "usr/bin", "usr/sbin", "usr/lib", "usr/local",
		"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers",
		"var/lib/dpkg/alternatives", "var/lib/dpkg/parts", "var/log", "var/tmp",
	}
	merged := []string{"bin", "sbin", "lib"}
	if b.recipe.Platform.Arch == "amd64" {
		dirs, merged = append(dirs, "usr/lib64"), append(merged, "lib64")
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := openDirs(b.root); err != nil {
		return err
	}
	for _, link := range merged {
		if err := os.Symlink("usr/"+link, filepath.Join(b.root, link)); err != nil {
			return err
		}
	}
	for _, file := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(b.root, "var/lib/dpkg", file), nil, 0o644); err != nil {
			return err
		}
	}
	return b.makeDevices()
}

// makeDevices makes the devices that every program may expect. They are left out of the
// image; the engine makes its own.
func (b *bootstrapping) makeDevices() error {
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		file := filepath.Join(b.root, "dev", name)
		if err := makeDevice(file, 1, minor); err != nil {
			return fmt.Errorf("making the device %s: %w", file, err)
		}
		if err := os.Chmod(file, 0o666); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(b.root, "dev", link)); err != nil {
			return err
		}
	}
	return nil
}

// excludes keeps documentation out, as dpkg's options.
func excludes() []string {
	var options []string
	for _, dir := range []string{"doc", "info", "lintian", "locale", "man"} {
		options = append(options, "--path-exclude=/usr/share/"+dir+"/*")
	}
	return options
}

// unpack unpacks all packages with this machine's dpkg. The essential ones are extracted
// beforehand without it, because the maintainer scripts of every package need them.
func (b *bootstrapping) unpack(ctx context.Context, files debs) error {
	// One at a time: two of them may create the same folder.
	for _, deb := range files.essential {
		if err := b.extract(ctx, deb); err != nil {
			return fmt.Errorf("extracting %s: %w", filepath.Base(deb), err)
		}
	}
	if err := b.prepareScripts(); err != nil {
		return fmt.Errorf("preparing for maintainer scripts: %w", err)
	}
	args := append([]string{
		// The order of apt's simulation is not that of pre-dependencies, and to this dpkg
		// a foreign architecture's packages do not satisfy each other's dependencies.
		"--root=" + b.root, "--force-architecture", "--force-depends", "--force-unsafe-io", "--force-confnew", "--no-triggers",
	}, excludes()...)
	args = append(append(args, "--unpack"), files.all...)
	if _, err := b.output(b.aroundRoot(ctx, false, append([]string{"dpkg"}, args...)...), "unpacking packages"); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(b.root, "var/lib/dpkg/arch"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// extract puts the files of one package in place. dpkg-deb --extract would replace the
// links of the merged /usr by folders.
func (b *bootstrapping) extract(ctx context.Context, deb string) error {
	files := command(ctx, nil, "dpkg-deb", "--fsys-tarfile", deb)
	unpack := command(ctx, nil, "tar", "--extract", "--keep-directory-symlink", "--directory="+b.root, "--file=-")
	var complaints tail
	files.Stderr, unpack.Stderr = &complaints, &complaints
	pipe, err := files.StdoutPipe()
	if err != nil {
		return err
	}
	unpack.Stdin = pipe
	if err := files.Start(); err != nil {
		return err
	}
	err = errors.Join(unpack.Run(), files.Wait())
	if err != nil {
		return fmt.Errorf("%w: %s", err, complaints.text)
	}
	return nil
}

// prepareScripts writes what maintainer scripts take for granted.
func (b *bootstrapping) prepareScripts() error {
	for from, to := range map[string]string{
		"usr/share/base-passwd/passwd.master": "etc/passwd",
		"usr/share/base-passwd/group.master":  "etc/group",
	} {
		data, err := os.ReadFile(filepath.Join(b.root, from))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.root, to), data, 0o644); err != nil {
			return err
		}
	}
	policy := filepath.Join(b.root, "usr/sbin/policy-rc.d")
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	// dpkg needs to be told of an architecture that is not its own.
	arch := debianArch(b.recipe.Platform) + "\n"
	return os.WriteFile(filepath.Join(b.root, "var/lib/dpkg/arch"), []byte(arch), 0o644)
}

// configure runs the maintainer scripts inside the new root, and then by itself the two
// slow things that they would have done.
func (b *bootstrapping) configure(ctx context.Context) error {
	away, err := b.stubPrograms()
	if err != nil {
		return fmt.Errorf("preparing the maintainer scripts: %w", err)
	}
	_, err = b.output(b.inRoot(ctx, "dpkg", "--force-unsafe-io", "--force-confold", "--configure", "--pending"), "configuring packages")
	if err := errors.Join(err, away.restore()); err != nil {
		return err
	}
	if err := b.collectCertificates(ctx); err != nil {
		return err
	}
	return b.compilePython(ctx)
}

// finish runs the recipe's last script inside the new root.
func (b *bootstrapping) finish(ctx context.Context) error {
	cmd := b.inRoot(ctx, "sh", "-s", b.recipe.Distro, string(b.recipe.Kind))
	cmd.Stdin = strings.NewReader(finishScript)
	_, err := b.output(cmd, "finishing the root")
	return err
}

// aroundScript runs a program in a mount namespace. dpkg syncs the disk several times per
// package, which takes longer than all else where other programs write, too. Over a
// volatile overlay the kernel leaves that out; where there is none, all works as before.
// $1: the root. $2: a work folder. $3: proc, or nothing. The rest: the program.
const aroundScript = `
root=$1 work=$2 proc=$3
shift 3
rm -rf "$work"
mkdir -p "$work/lower" "$work/work"
mount -t overlay overlay -o "volatile,lowerdir=$work/lower,upperdir=$root,workdir=$work/work" "$root" 2>/dev/null || :
if [ -n "$proc" ]; then mount -t proc proc "$root/proc" || exit; fi
exec "$@"
`

// aroundRoot prepares a program that works on the new root from outside. It gets
// namespaces of its own for mounts and processes, so nothing stays mounted or running
// however it ends.
func (b *bootstrapping) aroundRoot(ctx context.Context, proc bool, args ...string) *exec.Cmd {
	mountProc := ""
	if proc {
		mountProc = "proc"
	}
	return command(ctx, nil, "unshare", append([]string{
		"--mount", "--pid", "--fork", "--kill-child",
		"sh", "-c", aroundScript, "around", b.root, filepath.Join(b.work, "overlay"), mountProc,
	}, args...)...)
}

// inRoot prepares a program within the new root.
func (b *bootstrapping) inRoot(ctx context.Context, args ...string) *exec.Cmd {
	return b.aroundRoot(ctx, true, append([]string{"chroot", b.root}, args...)...)
}
