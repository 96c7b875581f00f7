package gittest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// largeFolder is where a bare repository keeps the large files that the server gives out.
const largeFolder = "lfs-objects"

// maxBatch bounds the question of a client, in bytes.
const maxBatch = 1 << 20

var oidRule = regexp.MustCompile(`^[0-9a-f]{64}$`)

// AddLarge puts a large file on the server's side of the repository and returns the pointer that Git LFS keeps in
// its place. For clients to care, .gitattributes has to name the file with filter=lfs.
func (r *Repo) AddLarge(content string) (pointer string, err error) {
	sum := sha256.Sum256([]byte(content))
	oid := hex.EncodeToString(sum[:])
	if err := write(filepath.Join(r.Bare, largeFolder, oid), content); err != nil {
		return "", err
	}
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(content)), nil
}

// object is one entry of the batch API, in both directions.
type object struct {
	OID     string         `json:"oid"`
	Size    int64          `json:"size"`
	Actions map[string]any `json:"actions,omitempty"`
	Error   map[string]any `json:"error,omitempty"`
}

// largeFiles answers what belongs to the batch API of Git LFS, and says whether it did.
func largeFiles(root string, w http.ResponseWriter, r *http.Request) bool {
	repo, what, found := strings.Cut(r.URL.Path, "/info/lfs/objects/")
	if !found {
		return false
	}
	folder := filepath.Join(root, filepath.FromSlash(filepath.Clean("/"+repo)), largeFolder)
	switch {
	case what == "batch":
		batch(folder, "http://"+r.Host+repo+"/info/lfs/objects/", w, r)
	case oidRule.MatchString(what):
		http.ServeFile(w, r, filepath.Join(folder, what))
	default:
		http.NotFound(w, r)
	}
	return true
}

// batch tells where each wanted file is.
func batch(folder, base string, w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Objects []object `json:"objects"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBatch)).Decode(&asked); err != nil {
		http.Error(w, `{"message":"not a batch request"}`, http.StatusUnprocessableEntity)
		return
	}
	objects := []object{}
	for _, o := range asked.Objects {
		answer := object{OID: o.OID, Size: o.Size}
		info, err := os.Stat(filepath.Join(folder, filepath.Base(o.OID)))
		if err != nil || !oidRule.MatchString(o.OID) {
			answer.Error = map[string]any{"code": http.StatusNotFound, "message": "there is no such object"}
		} else {
			answer.Size = info.Size()
			answer.Actions = map[string]any{"download": map[string]any{"href": base + o.OID}}
		}
		objects = append(objects, answer)
	}
	w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": objects}) // a client that left needs none
}
