package house_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var picturePattern = regexp.MustCompile(`!\[([^\]]*)\]\(([^)\s]+)\)`)

// TestPictures: each picture of docs/pictures is shown by a document, with words for those who do not see it, and is
// small; each picture that a document shows is there, in the tree, and a drawing is called one. That the pictures are
// what the product shows now is held by e2e/pictures.
func TestPictures(t *testing.T) {
	t.Parallel()

	const most, fewestWords = 150 << 10, 5
	shown := map[string]bool{}
	for _, file := range documents(t) {
		_, prose := blocks(t, file)
		for _, match := range picturePattern.FindAllStringSubmatch(prose, -1) {
			words, target := match[1], match[2]
			path := filepath.Join(filepath.Dir(file), target)
			shown[filepath.Clean(path)] = true
			if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Size() > most {
				t.Errorf("%s: the picture %s is not there, empty, or larger than %d bytes: %v", file, target, most, err)
			}
			if len(strings.Fields(words)) < fewestWords {
				t.Errorf("%s: the picture %s is described by %q; say what there is to see", file, target, words)
			}
			if strings.HasPrefix(filepath.Base(target), "github-") && !strings.Contains(words, "drawing") {
				t.Errorf("%s: %s is a drawing and not called one", file, target)
			}
		}
	}
	there, err := filepath.Glob(filepath.Join(root, "docs", "pictures", "*"))
	if err != nil || len(there) < 5 {
		t.Fatalf("docs/pictures holds %q: %v", there, err)
	}
	for _, path := range there {
		if !shown[filepath.Clean(path)] {
			t.Errorf("%s is shown by no document", path)
		}
	}
}
