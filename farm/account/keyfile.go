package account

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// LoadFarmKey reads the farm key file, and makes it with mode 0600 and a new
// random key when there is none. Two processes that start together end up with
// the same key. Errors name the file and what to do about it.
func LoadFarmKey(path string) (FarmKey, error) {
	key, err := readFarmKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	err = createFarmKey(path, NewFarmKey())
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return FarmKey{}, err
	}
	// Read back what is there: our own key, or that of a process that was faster.
	return readFarmKey(path)
}

func readFarmKey(path string) (FarmKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return FarmKey{}, fmt.Errorf("farm key file %s: %w: name another file, or set MODFARM_FARM_KEY", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return FarmKey{}, fmt.Errorf("farm key file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return FarmKey{}, fmt.Errorf("farm key file %s is not a regular file: name another file, or set MODFARM_FARM_KEY", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return FarmKey{}, fmt.Errorf("farm key file %s may be read by others (mode %04o): run `chmod 600 %s`", path, mode, path)
	}
	text := make([]byte, 4096)
	n, err := f.Read(text)
	if err != nil {
		return FarmKey{}, fmt.Errorf("farm key file %s cannot be read (%w): restore it from a backup; a new key would lock out every API key", path, err)
	}
	key, err := ParseFarmKey(string(text[:n]))
	if err != nil {
		return FarmKey{}, fmt.Errorf("farm key file %s: %w; if this one was in use, restore it from a backup", path, err)
	}
	return key, nil
}

// createFarmKey writes the key beside the file and links it into place, so that
// no reader ever sees half a key. The link fails with fs.ErrExist when another
// process was faster.
func createFarmKey(path string, key FarmKey) error {
	fail := func(err error) error {
		return fmt.Errorf("make farm key file %s: %w: make its folder writable, name another file, or set MODFARM_FARM_KEY", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	beside := fmt.Sprintf("%s.%d-%d.tmp", path, os.Getpid(), time.Now().UnixNano())
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fail(err)
	}
	_, err = f.WriteString(key.Reveal() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(beside, path)
	}
	if err = errors.Join(err, os.Remove(beside)); err != nil {
		return fail(err)
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the new name durable: a farm key that a power cut takes back
// would lock out every key made since.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
