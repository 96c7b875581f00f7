package pictures_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/modfarm/modfarm/client"
)

// update makes the pictures anew instead of comparing them; scripts/pictures gives it.
var update = flag.Bool("update", false, "write docs/pictures")

const tag = "v1.2.3"

// TestPicturesOfGitHub goes the way of docs/github.md with a real farm and compares what it shows and sends with the
// pictures there.
func TestPicturesOfGitHub(t *testing.T) {
	f := startFarm(t)
	// The first page is that of a farm at github.com; the rest happens at the GitHub beside it.
	github := f.beginSetup("https://github.com")
	page := f.get(github)
	asked := f.readManifest(page)
	comparePage(t, "setup-begin.png", page, func() []byte { return screenshot(t, github, 560) })
	compare(t, "github-create.svg", drawCreate(asked))

	if *update { // each way back is good once, and the browser needs one of its own
		shown := f.confirm(f.get(f.beginSetup(f.gh.URL)))
		png := screenshot(t, shown, 560)
		done := f.get(f.confirm(f.get(f.beginSetup(f.gh.URL))))
		comparePage(t, "setup-done.png", done, func() []byte { return png })
	} else {
		comparePage(t, "setup-done.png", f.get(f.confirm(f.get(f.beginSetup(f.gh.URL)))), nil)
	}
	compare(t, "github-install.svg", drawInstall(asked))

	repo := f.repository()
	repo.Tag(true, tag)
	amd64, arm64 := f.claim(platforms()[0]), f.claim(platforms()[1])
	f.publish(amd64)
	f.step(arm64, "build", "cc -o dist/widget main.c\nmain.c:1:1: error: unknown type name 'innt'\n")
	runs := f.checks(repo, "success: Published", "in_progress: Running: build", "queued: Waiting for a worker")
	compare(t, "github-checks.svg", drawChecks(tag, runs))
	compare(t, "github-published.svg", drawRun("The check of a published platform, as a drawing", runs[0]))

	f.finish(arm64, client.Outcome{Kind: client.OutcomeFailed, Reason: "the build step ended with status 2: main.c:1:1: error: unknown type name 'innt'"})
	runs = f.checks(repo, "success: Published", "failure: ")
	compare(t, "github-failed.svg", drawRun("The check of a platform that does not compile, as a drawing", runs[1]))
}

func picture(name string) string { return filepath.Join(root, "docs", "pictures", name) }

// compare holds a drawing against the one in the tree.
func compare(t *testing.T, name string, now []byte) {
	t.Helper()
	if *update {
		write(t, name, now)
		return
	}
	there, err := os.ReadFile(picture(name))
	if err != nil || !bytes.Equal(there, now) {
		t.Errorf("docs/pictures/%s is not what the farm sends now (%v): run `make pictures` and look at it; now it is\n%s", name, err, now)
	}
}

// comparePage holds a screenshot against the page that it was made of.
func comparePage(t *testing.T, name, page string, take func() []byte) {
	t.Helper()
	if *update {
		write(t, name, withSource(take(), pageDigest(page)))
		return
	}
	there, err := os.ReadFile(picture(name))
	if err != nil || sourceOf(there) != pageDigest(page) {
		t.Errorf("docs/pictures/%s shows another page than the farm's (%v): run `make pictures` and look at it; now it is\n%s", name, err, page)
	}
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	const most = 150 << 10
	if len(content) > most {
		t.Errorf("%s has %d bytes, more than %d", name, len(content), most)
	}
	if err := os.WriteFile(picture(name), content, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("docs/pictures/%s: %d bytes", name, len(content))
}
