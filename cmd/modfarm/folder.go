package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// defaultData is where a farm keeps everything when --data does not say:
// /var/lib/modfarm for root, the user's data folder otherwise.
func defaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/modfarm"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "modfarm")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "modfarm-data"
	}
	return filepath.Join(home, ".local", "share", "modfarm")
}

// prepareFolder makes a folder of mode 0700 and proves that files can be
// written in it. flag is the flag that chose the folder, for the message.
func prepareFolder(flag, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("--%s %q: %w", flag, dir, err)
	}
	advice := "give this user the right to write there, or choose another folder with --" + flag
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("--%s %q: the folder cannot be made (%w): %s", flag, dir, err, advice)
	}
	probe, err := os.CreateTemp(dir, ".write-test-")
	if err != nil {
		return "", fmt.Errorf("--%s %q: the folder is not writable (%w): %s", flag, dir, err, advice)
	}
	return dir, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// readToken reads a token file, refusing one that others may read.
func readToken(flag, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("--%s: %w", flag, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("--%s %q: others may read it (mode %04o): run chmod 600 %s", flag, path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--%s: %w", flag, err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 20 {
		return "", fmt.Errorf("--%s %q: a token has at least 20 characters, this file holds %d", flag, path, len(token))
	}
	return token, nil
}

// readOrMakeToken reads a token file and makes it, with a random token, when it
// does not exist.
func readOrMakeToken(flag, path string) (string, error) {
	token, err := readToken(flag, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	token = base64.RawURLEncoding.EncodeToString(raw)
	return token, writeSecret(path, token+"\n")
}

// writeSecret writes a new file that only this user may read.
func writeSecret(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// workerName is the machine's name with a few letters that belong to the work
// folder: a container engine may serve several workers, and each may touch only
// what is its own.
func workerName(work string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("--name: the machine has no name (%w): give one", err)
	}
	path := filepath.Join(work, "worker.id")
	id, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id = []byte(strings.ToLower(rand.Text()[:6]))
		err = os.WriteFile(path, id, 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("--work %q: the worker's id: %w", work, err)
	}
	return host + "-" + strings.TrimSpace(string(id)), nil
}
