package images

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// Listed is an image that the engine has, as its labels describe it.
type Listed struct {
	// Ref is its name.
	Ref string `json:"ref"`
	// ImageID is the engine's digest of it, "sha256:…".
	ImageID string `json:"image_id"`
	// Kind, Platform and Distro are those of its recipe.
	Kind     Kind   `json:"kind"`
	Platform string `json:"platform"`
	Distro   string `json:"distro"`
	// Source is "pull" or "bootstrap".
	Source string `json:"source"`
	// Size is what the engine says it takes, in bytes.
	Size int64 `json:"size"`
	// CreatedAt is what the image says of itself.
	CreatedAt time.Time `json:"created_at"`
	// Current says that builds use it: its recipe is this program's.
	Current bool `json:"current"`
	// Record is what was kept when it was made with this CacheDir; else nil.
	Record *Record `json:"record,omitempty"`
}

// List returns the images of this program that the engine has, whoever made them, by name.
// Those made on top of them have their labels, too, and are told apart by their names.
func (m *Maker) List(ctx context.Context) ([]Listed, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	got, err := m.Docker.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("label", labelRecipe)})
	if err != nil {
		return nil, fmt.Errorf("asking the container engine for its images: %w", err)
	}
	records, err := m.records()
	if err != nil {
		return nil, err
	}
	current := currentRecipes()
	list := make([]Listed, 0, len(got.Items))
	for _, item := range got.Items {
		i := slices.IndexFunc(item.RepoTags, isRef)
		if i < 0 {
			continue
		}
		image := Listed{
			Ref: item.RepoTags[i], ImageID: item.ID, Kind: Kind(item.Labels[labelKind]), Platform: item.Labels[labelPlatform],
			Distro: item.Labels[labelDistro], Source: item.Labels[labelSource],
			Size: item.Size, CreatedAt: time.Unix(item.Created, 0).UTC(), Current: current[item.Labels[labelRecipe]],
		}
		if rec, ok := records[item.ID]; ok {
			image.Record = &rec
		}
		list = append(list, image)
	}
	slices.SortFunc(list, func(a, b Listed) int { return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.ImageID, b.ImageID)) })
	return list, nil
}

// isRef says whether a name is one that Recipe.Ref makes.
func isRef(name string) bool {
	return strings.HasPrefix(name, "modfarm/"+string(KindBuilder)+"-") || strings.HasPrefix(name, "modfarm/"+string(KindRun)+"-")
}

// currentRecipes are the hashes of all recipes that there are.
func currentRecipes() map[string]bool {
	hashes := map[string]bool{}
	for _, p := range Platforms() {
		for _, recipe := range []func() (Recipe, error){
			func() (Recipe, error) { return Builder(p, DefaultDistro) },
			func() (Recipe, error) { return Run(p, DefaultDistro) },
		} {
			if r, err := recipe(); err == nil {
				hashes[r.Hash()] = true
			}
		}
	}
	return hashes
}

// records are all that CacheDir has, by the image's id.
func (m *Maker) records() (map[string]Record, error) {
	dir, err := m.dir("records")
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("image records: %w", err)
	}
	records := map[string]Record{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("image record: %w", err)
		}
		var rec Record
		if err := json.Unmarshal(data, &rec); err != nil {
			return nil, fmt.Errorf("image record %s: %w: delete the file", name, err)
		}
		records[rec.ImageID] = rec
	}
	return records, nil
}
