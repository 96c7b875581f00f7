package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// bootstrap makes an image from Debian packages alone. The packages are unpacked by this
// machine's own dpkg, at full speed for every platform; only their maintainer scripts run
// inside the new root, under emulation where the platform is foreign. dpkg's database is
// a true one, so that apt works in the image.
func (m *Maker) bootstrap(ctx context.Context, r Recipe) (Record, error) {
	if err := m.canBootstrap(ctx, r.Platform); err != nil {
		return Record{}, err
	}
	work, err := m.dir("work", r.fileName())
	if err != nil {
		return Record{}, err
	}
	// What a killed process left behind, as the lock is ours.
	if err := os.RemoveAll(work); err != nil {
		return Record{}, fmt.Errorf("clearing the work folder: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(work); err != nil {
			m.log().Warn("cannot remove the work folder of an image", "dir", work, "error", err)
		}
	}()
	b := &bootstrapping{Maker: m, recipe: r, work: work, root: filepath.Join(work, "root")}
	return b.run(ctx)
}

// bootstrapping is the state of one bootstrap.
type bootstrapping struct {
	*Maker
	recipe Recipe
	work   string // holds everything of this bootstrap, and goes away with it
	root   string // the new root file system

	warnings []string // what the record is to say
}

// warn tells of something that is not as it should be, and keeps it for the record.
func (b *bootstrapping) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.warnings = append(b.warnings, text)
	b.say("warning: %s", text)
}

// run goes through the steps.
func (b *bootstrapping) run(ctx context.Context) (Record, error) {
	if err := b.makeRoot(); err != nil {
		return Record{}, fmt.Errorf("laying out the root: %w", err)
	}
	debs, err := b.fetchPackages(ctx)
	if err != nil {
		return Record{}, err
	}
	b.say("unpacking %d packages for %s", len(debs.all), b.recipe.Platform)
	if err := b.unpack(ctx, debs); err != nil {
		return Record{}, err
	}
	b.say("configuring %d packages for %s", len(debs.all), b.recipe.Platform)
	if err := b.configure(ctx); err != nil {
		return Record{}, err
	}
	if b.recipe.Go != "" {
		if err := b.installGo(ctx, b.recipe.Platform, filepath.Join(b.root, "usr/local/go")); err != nil {
			return Record{}, err
		}
	}
	if err := b.finish(ctx); err != nil {
		return Record{}, err
	}
	packages, err := b.listPackages(ctx)
	if err != nil {
		return Record{}, err
	}
	b.say("loading %s into the container engine", b.recipe.Ref())
	if err := b.load(ctx); err != nil {
		return Record{}, err
	}
	return Record{Source: "bootstrap", Packages: packages, Warnings: b.warnings}, nil
}

// canBootstrap reports all that this machine lacks for a bootstrap, with the cures.
func (m *Maker) canBootstrap(ctx context.Context, p module.Platform) error {
	var missing []string
	for _, tool := range []struct{ program, pkg string }{
		{"apt-get", "apt"},
		{"dpkg", "dpkg"},
		{"dpkg-deb", "dpkg"},
		{"unshare", "util-linux"},
		{"chroot", "coreutils"},
		{"tar", "tar"},
	} {
		if _, err := exec.LookPath(tool.program); err != nil {
			missing = append(missing, tool.pkg)
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		missing = append(missing, "debian-archive-keyring")
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: bootstrapping from Debian packages needs %s on this machine; run `apt-get install %s`, or name a registry mirror that has debian:%s-slim", module.ErrUnavailable, strings.Join(missing, ", "), strings.Join(missing, " "), DefaultDistro)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: bootstrapping from Debian packages needs root; run this once as root (`sudo modfarm images`), or name a registry mirror that has debian:%s-slim", module.ErrUnavailable, DefaultDistro)
	}
	return m.canExecute(ctx, p)
}

// command prepares a program that dies, with all that it started, when ctx ends.
func command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append([]string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LC_ALL=C.UTF-8",
		"DEBIAN_FRONTEND=noninteractive",
		"DEBCONF_NONINTERACTIVE_SEEN=true",
	}, env...)
	killGroup(cmd)
	return cmd
}

// output runs a command and returns its standard output; an error has the command's
// last lines.
func (m *Maker) output(cmd *exec.Cmd, doing string) (string, error) {
	var out, all strings.Builder
	cmd.Stdout = both{&out, &all}
	cmd.Stderr = &all
	m.log().Debug("running", "for", doing, "command", cmd.Args)
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	lines := strings.Split(strings.TrimSpace(all.String()), "\n")
	return "", fmt.Errorf("%s: %s: %w; it ended with:\n%s", doing, filepath.Base(cmd.Path), err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}

// both writes to two builders.
type both [2]*strings.Builder

// Write never fails.
func (b both) Write(p []byte) (int, error) {
	b[0].Write(p)
	return b[1].Write(p)
}

// listPackages asks the new root's database what is installed; a package that is not
// fully configured is an error.
func (b *bootstrapping) listPackages(ctx context.Context) (map[string]string, error) {
	cmd := command(ctx, nil, "dpkg-query", "--admindir="+filepath.Join(b.root, "var/lib/dpkg"), "-W", "-f", packageFormat)
	out, err := b.output(cmd, "listing the installed packages")
	if err != nil {
		return nil, err
	}
	return parsePackages(out)
}

// packageFormat is what dpkg-query is to print for parsePackages.
const packageFormat = "${Package}:${Architecture} ${Version} ${db:Status-Status}\n"

// parsePackages reads dpkg-query's answer into versions by package.
func parsePackages(out string) (map[string]string, error) {
	packages := make(map[string]string)
	var broken []error
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "installed" {
			broken = append(broken, fmt.Errorf("package not fully installed: %s", strings.TrimSpace(line)))
			continue
		}
		packages[fields[0]] = fields[1]
	}
	return packages, errors.Join(broken...)
}
