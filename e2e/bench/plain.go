package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/e2e/road"
)

// plainRun runs a script over a copy of a folder by `docker run`, in the image
// that the farm builds in, and returns how long that took.
func (l *lab) plainRun(ctx context.Context, folder string, files map[string]string, script string) (time.Duration, error) {
	image, err := l.image(ctx)
	if err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp(l.dir, "plain-")
	if err != nil {
		return 0, err
	}
	if folder != "" {
		if err := os.CopyFS(work, os.DirFS(folder)); err != nil {
			return 0, fmt.Errorf("copy %s: %w", folder, err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o644); err != nil {
			return 0, err
		}
	}
	args := append([]string{"run", "--rm", "--volume", work + ":/workspace", "--workdir", "/workspace"}, surroundings()...)
	began := time.Now()
	if err := dockerCommand(ctx, append(args, image, "bash", "-c", script)...); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, l.removeAll(ctx, work)
}

// surroundings tells a container what the farm tells its builds: proxies and a
// certificate authority, where this machine has them.
func surroundings() []string {
	var args []string
	for given := road.UpArgs(os.LookupEnv); len(given) > 1; given = given[2:] {
		switch name, value := given[0], given[1]; name {
		case "--build-env":
			args = append(args, "--env", value)
		case "--build-ca":
			args = append(args, "--volume", value+":/etc/modfarm/ca.pem:ro", "--env", "SSL_CERT_FILE=/etc/modfarm/ca.pem")
		}
	}
	return append(args, "--env", "GOTOOLCHAIN=local")
}

func dockerCommand(ctx context.Context, args ...string) error {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it then removes its container
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		text := out.Bytes()
		return fmt.Errorf("docker %s: %w\n%s", args[0], err, text[max(0, len(text)-4000):])
	}
	return nil
}

// removeAll removes a folder in which the root of a container has written, also
// after ctx ended.
func (l *lab) removeAll(ctx context.Context, dir string) error {
	if dir == "" {
		return nil
	}
	first := os.RemoveAll(dir)
	if first == nil || l.engine == nil {
		return first
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	image, err := l.image(ctx)
	if err == nil {
		err = dockerCommand(ctx, "run", "--rm", "--network", "none", "--volume", dir+":/folder", image,
			"find", "/folder", "-mindepth", "1", "-delete")
	}
	if err != nil {
		return errors.Join(first, err)
	}
	return os.RemoveAll(dir)
}
