package images

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// keyring verifies Debian's package lists, on this machine and in the image.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// debs are files of packages, in the order to unpack them.
type debs struct {
	essential []string // what must be there before any maintainer script can run
	all       []string // everything, the essential ones included
}

// fetchPackages resolves and downloads the recipe's packages with this machine's apt,
// which works on a configuration, lists and status of its own.
func (b *bootstrapping) fetchPackages(ctx context.Context) (debs, error) {
	config, err := b.writeAptConfig()
	if err != nil {
		return debs{}, fmt.Errorf("configuring apt: %w", err)
	}
	unlock, err := b.lock(ctx, "apt", "another image downloads its packages")
	if err != nil {
		return debs{}, err
	}
	defer unlock()
	apt := func(doing string, args ...string) (string, error) {
		env := append([]string{"APT_CONFIG=" + config}, b.Env.proxyVars()...)
		return b.output(command(ctx, env, "apt-get", append([]string{"-q", "-y"}, args...)...), doing)
	}
	b.say("reading Debian's package lists for %s", b.recipe.Platform)
	if _, err := apt("reading Debian's package lists", "update", "-o", "APT::Update::Error-Mode=any"); err != nil {
		// A mirror amid its synchronisation lacks one list, mostly that of security
		// updates. What is left is tried: without the main list, choosing fails.
		if ctx.Err() != nil {
			return debs{}, err
		}
		b.warn("the mirror's package lists for %s are not consistent at the moment, so security updates may be missing; make the image again later", b.recipe.Platform)
		b.log().Warn("reading Debian's package lists", "platform", b.recipe.Platform, "error", err)
		if _, err := apt("reading Debian's package lists", "update", "-o", "APT::Update::Error-Mode=persistent-failure"); err != nil {
			b.log().Warn("reading Debian's package lists again", "error", err)
		}
	}
	essential, err := apt("choosing packages", "install", "--simulate", "?essential", "usr-is-merged")
	if err != nil {
		return debs{}, err
	}
	wanted := append([]string{"install", "?essential"}, b.recipe.Packages...)
	all, err := apt("choosing packages", append(wanted, "--simulate")...)
	if err != nil {
		return debs{}, err
	}
	archives, err := b.dir("debs", "partial")
	if err != nil {
		return debs{}, err
	}
	archives = filepath.Dir(archives)
	found := debs{essential: debFiles(archives, essential), all: debFiles(archives, all)}
	b.say("downloading %d packages for %s", len(found.all), b.recipe.Platform)
	if _, err := apt("downloading packages", append(wanted, "--download-only")...); err != nil {
		return debs{}, err
	}
	for _, file := range found.all {
		if _, err := os.Stat(file); err != nil {
			return debs{}, fmt.Errorf("apt did not download a package that it chose: %w", err)
		}
	}
	return found, nil
}

// instLine matches what apt's simulation prints for each package it would unpack:
// "Inst libc6 (2.36-9 Debian:12.11/stable [arm64])".
var instLine = regexp.MustCompile(`(?m)^Inst (\S+) \((\S+) .*\[(\S+)\]\)`)

// debFiles names the downloaded files of a simulated installation.
func debFiles(dir, simulation string) []string {
	var files []string
	for _, match := range instLine.FindAllStringSubmatch(simulation, -1) {
		name, _, _ := strings.Cut(match[1], ":")
		version := strings.ReplaceAll(match[2], ":", "%3a")
		files = append(files, filepath.Join(dir, name+"_"+version+"_"+match[3]+".deb"))
	}
	return files
}

// writeAptConfig writes a configuration of apt that shares nothing with this machine's
// but the keyring, and returns its name. Downloads stay in the cache for the next image.
func (b *bootstrapping) writeAptConfig() (string, error) {
	arch := debianArch(b.recipe.Platform)
	lists, err := b.dir("lists", b.recipe.Distro+"-"+arch)
	if err != nil {
		return "", err
	}
	archives, err := b.dir("debs")
	if err != nil {
		return "", err
	}
	etc := filepath.Join(b.work, "apt")
	for _, dir := range []string{"apt.conf.d", "preferences.d", "auth.conf.d"} {
		if err := os.MkdirAll(filepath.Join(etc, dir), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(etc, "sources.list"), []byte(aptSources(b.recipe.Distro)), 0o644); err != nil {
		return "", err
	}
	var conf strings.Builder
	for _, option := range [][2]string{
		{"Dir::Etc", etc},
		{"Dir::Etc::sourcelist", filepath.Join(etc, "sources.list")},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::State", b.work},
		{"Dir::State::lists", lists + "/"},
		{"Dir::State::status", filepath.Join(b.root, "var/lib/dpkg/status")},
		{"Dir::Cache", filepath.Join(b.work, "aptcache")},
		{"Dir::Cache::archives", archives + "/"},
		{"APT::Architecture", arch},
		{"APT::Architectures", arch},
		{"APT::Install-Recommends", "false"},
		{"APT::Sandbox::User", "root"},
		{"APT::Keep-Downloaded-Packages", "true"},
		// Without this apt takes itself for essential, and run images need no apt.
		{"pkgCacheGen::ForceEssential", ","},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "3"},
		{"Acquire::http::Timeout", "60"},
		{"Acquire::https::CAInfo", b.Env.CABundle},
	} {
		if option[1] != "" {
			fmt.Fprintf(&conf, "%s %q;\n", option[0], option[1])
		}
	}
	name := filepath.Join(etc, "apt.conf")
	return name, os.WriteFile(name, []byte(conf.String()), 0o644)
}

// aptSources are the lines that finish.sh writes into the image, too.
func aptSources(distro string) string {
	var lines strings.Builder
	for _, source := range [][2]string{
		{"debian", distro}, {"debian", distro + "-updates"}, {"debian-security", distro + "-security"},
	} {
		fmt.Fprintf(&lines, "deb [signed-by=%s] http://deb.debian.org/%s %s main\n", keyring, source[0], source[1])
	}
	return lines.String()
}
