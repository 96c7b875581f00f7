package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/modfarm/modfarm/module"
)

// Record is what is kept about an image that was made on this machine.
type Record struct {
	// Ref is the image's name.
	Ref string `json:"ref"`
	// ImageID is the engine's digest of it, "sha256:…".
	ImageID string `json:"image_id"`
	// Recipe and RecipeHash say what it was made of.
	Recipe     Recipe `json:"recipe"`
	RecipeHash string `json:"recipe_hash"`
	// Source is "pull" or "bootstrap".
	Source string `json:"source"`
	// Base is the digest of the pulled image that it stands on; empty for a bootstrap.
	Base string `json:"base,omitempty"`
	// MadeAt is when making it began, Seconds how long that took.
	MadeAt  time.Time `json:"made_at"`
	Seconds int       `json:"seconds"`
	// Packages maps each installed Debian package, as dpkg names it, to its version.
	Packages map[string]string `json:"packages"`
	// Warnings are sentences about what is not as it should be.
	Warnings []string `json:"warnings,omitempty"`
}

// Record returns what is kept about the recipe's image. The error wraps
// module.ErrNotFound when it was not made with this CacheDir.
func (m *Maker) Record(r Recipe) (Record, error) {
	dir, err := m.dir("records")
	if err != nil {
		return Record{}, err
	}
	data, err := os.ReadFile(filepath.Join(dir, r.fileName()+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, fmt.Errorf("%w: no record of the image %s", module.ErrNotFound, r.Ref())
	}
	if err != nil {
		return Record{}, fmt.Errorf("image record: %w", err)
	}
	var rec Record
	if err := json.Unmarshal(data, &rec); err != nil {
		return Record{}, fmt.Errorf("image record of %s: %w", r.Ref(), err)
	}
	return rec, nil
}

// writeRecord keeps what is known about an image that was just made.
func (m *Maker) writeRecord(r Recipe, rec Record) error {
	dir, err := m.dir("records")
	if err != nil {
		return err
	}
	rec.Ref, rec.Recipe, rec.RecipeHash = r.Ref(), r, r.Hash()
	data, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return fmt.Errorf("image record: %w", err)
	}
	name := filepath.Join(dir, r.fileName()+".json")
	if err := os.WriteFile(name+".new", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("image record: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("image record: %w", err)
	}
	return nil
}
