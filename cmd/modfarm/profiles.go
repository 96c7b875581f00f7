package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"

	"github.com/modfarm/modfarm/module"
)

// defaultProfile is where a login is kept that was given no name.
const defaultProfile = "default"

// profile is a login that is kept: a farm and an API key for it.
type profile struct {
	URL   string `json:"url"`
	KeyID string `json:"key_id"`
	Key   string `json:"key"`
}

// profiles is the file of logins, by name. Its mode is 0600, as it holds the keys.
type profiles struct {
	Current string             `json:"current"`
	Logins  map[string]profile `json:"profiles"`

	path string
}

// profilesPath is the file in the folder where this system keeps the settings of
// its users. It is found by the environment that the command was given.
func profilesPath(lookup lookupFunc) (string, error) {
	variables := [][]string{{"XDG_CONFIG_HOME"}, {"HOME", ".config"}}
	switch runtime.GOOS {
	case "windows":
		variables = [][]string{{"APPDATA"}}
	case "darwin":
		variables = [][]string{{"XDG_CONFIG_HOME"}, {"HOME", "Library", "Application Support"}}
	}
	for _, v := range variables {
		if dir, _ := lookup(v[0]); filepath.IsAbs(dir) {
			return filepath.Join(append(append([]string{dir}, v[1:]...), "modfarm", "profiles.json")...), nil
		}
	}
	name := variables[len(variables)-1][0]
	return "", hinted(fmt.Errorf("there is no place to keep logins: %s is not set", name),
		"set it to a folder, or give MODFARM_URL, MODFARM_KEY_ID and MODFARM_KEY instead of logging in")
}

// readProfiles reads the file; without one there is no login.
func readProfiles(lookup lookupFunc) (*profiles, error) {
	path, err := profilesPath(lookup)
	if err != nil {
		return nil, err
	}
	p := &profiles{path: path, Logins: map[string]profile{}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the logins: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, hinted(fmt.Errorf("%s holds API keys and others may read it (mode %04o)", path, mode), "chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the logins: %w", err)
	}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, hinted(fmt.Errorf("%s is no file of logins (%w)", path, err), "remove it and log in again with 'modfarm login'")
	}
	if p.Logins == nil {
		p.Logins = map[string]profile{}
	}
	return p, nil
}

// write replaces the file at once, so that no reader sees half of it.
func (p *profiles) write() error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("write the logins: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	beside, err := os.CreateTemp(filepath.Dir(p.path), ".profiles-") // mode 0600
	if err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	_, err = beside.Write(append(text, '\n'))
	if err = errors.Join(err, beside.Sync(), beside.Close()); err == nil {
		err = os.Rename(beside.Name(), p.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep the login: %w", err), os.Remove(beside.Name()))
	}
	return nil
}

// names are the profiles in order.
func (p *profiles) names() []string { return slices.Sorted(maps.Keys(p.Logins)) }

// choose returns the login of a name, or the current one for an empty name.
func (p *profiles) choose(name string) (string, profile, error) {
	chosen := cmp.Or(name, p.Current, defaultProfile)
	login, ok := p.Logins[chosen]
	if !ok {
		return chosen, profile{}, p.missing(chosen)
	}
	return chosen, login, nil
}

// missing is the error for a profile that does not exist.
func (p *profiles) missing(name string) error {
	err := fmt.Errorf("%w: there is no login with the name %q", module.ErrNotFound, name)
	if len(p.Logins) == 0 {
		return hinted(err, "log in with 'modfarm login'")
	}
	return hinted(err, "use one of %q, or log in with 'modfarm login --profile %s'", p.names(), name)
}

// checkProfileName keeps names to what needs no quotes in a shell.
func checkProfileName(name string) error {
	if regexp.MustCompile(`^\w[-.\w]{0,63}$`).MatchString(name) {
		return nil
	}
	return hinted(usageError{fmt.Errorf("--profile %q is no name for a login", name)}, "use up to 64 letters, digits, '.', '-' and '_'")
}
