package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// collectCertificates fills /etc/ssl/certs of the new root. For a foreign platform the
// image's own script is run by this machine's shell and openssl where it has them, at
// twenty times the speed of emulation.
func (b *bootstrapping) collectCertificates(ctx context.Context) error {
	const script = "/usr/sbin/update-ca-certificates"
	if _, err := os.Stat(b.root + script); errors.Is(err, fs.ErrNotExist) {
		return nil // a recipe without ca-certificates
	}
	b.say("collecting CA certificates for %s", b.recipe.Platform)
	_, err := exec.LookPath("openssl")
	if b.recipe.Platform == module.HostPlatform() || err != nil {
		_, err := b.output(b.inRoot(ctx, script, "--hooksdir", ""), "collecting CA certificates")
		return err
	}
	certs := b.root + "/etc/ssl/certs"
	cmd := command(ctx, nil, "sh", b.root+script, "--hooksdir", "",
		"--certsconf", b.root+"/etc/ca-certificates.conf",
		"--certsdir", b.root+"/usr/share/ca-certificates",
		"--localcertsdir", b.root+"/usr/local/share/ca-certificates",
		"--etccertsdir", certs)
	if _, err := b.output(cmd, "collecting CA certificates"); err != nil {
		return err
	}
	if err := rebaseLinks(certs, b.root); err != nil {
		return fmt.Errorf("collecting CA certificates: %w", err)
	}
	return nil
}

// rebaseLinks cuts the prefix root off the targets of all links in dir.
func rebaseLinks(dir, root string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		link := filepath.Join(dir, entry.Name())
		target, err := os.Readlink(link)
		if err != nil {
			continue // not a link
		}
		inside, ok := strings.CutPrefix(target, root)
		if !ok {
			continue
		}
		if err := os.Remove(link); err != nil {
			return err
		}
		if err := os.Symlink(inside, link); err != nil {
			return err
		}
	}
	return nil
}
