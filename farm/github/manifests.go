package github

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	gh "github.com/google/go-github/v60/github"

	"github.com/modfarm/modfarm/module"
)

const (
	// manifestName is the file that makes a folder a module.
	manifestName = "meta.json"
	// maxModules bounds how many modules of one repository a tag may build.
	maxModules = 20
	// maxDepth is how many folders deep a meta.json may be: deeper ones belong to dependencies and test data.
	maxDepth = 3
)

// found is a meta.json of a commit.
type found struct {
	dir       string // "." for the root
	id        module.ID
	platforms []module.Platform
	problem   string // why it cannot be built
}

func (f found) file() string { return path.Join(f.dir, manifestName) }

// readTag asks what a tag names, and which commit is behind it.
func (g *GitHub) readTag(ctx context.Context, repo Repository, name string) (object, commit string, err error) {
	api, err := g.on(ctx, repo.InstallationID)
	if err != nil {
		return "", "", err
	}
	owner, repoName := splitName(repo.FullName)
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ref, _, err := api.Git.GetRef(call, owner, repoName, "tags/"+escapeRef(name))
	if err != nil {
		return "", "", g.trouble(err, repo.InstallationID, "read the tag "+name+" of "+repo.FullName)
	}
	object = ref.GetObject().GetSHA()
	// An annotated or signed tag is an object of its own, and may name another.
	for kind, sha := ref.GetObject().GetType(), object; ; {
		if kind == "commit" {
			return object, sha, nil
		}
		if kind != "tag" {
			return "", "", fmt.Errorf("%w: the tag %s of %s names a %s and no commit", module.ErrNotFound, name, repo.FullName, kind)
		}
		tag, _, err := api.Git.GetTag(call, owner, repoName, sha)
		if err != nil {
			return "", "", g.trouble(err, repo.InstallationID, "read the tag object "+sha+" of "+repo.FullName)
		}
		kind, sha = tag.GetObject().GetType(), tag.GetObject().GetSHA()
		if kind == "" {
			kind = "commit"
		}
	}
}

// escapeRef keeps a tag's name in its place in a URL; go-github puts it there as it is.
func escapeRef(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

func splitName(full string) (owner, name string) {
	owner, name, _ = strings.Cut(full, "/")
	return owner, name
}

// modulesAt reads the meta.json files of a commit, those nearest to the root first.
func (g *GitHub) modulesAt(ctx context.Context, repo Repository, commit string) ([]found, error) {
	api, err := g.on(ctx, repo.InstallationID)
	if err != nil {
		return nil, err
	}
	owner, name := splitName(repo.FullName)
	call, cancel := context.WithTimeout(ctx, callTimeout)
	tree, _, err := api.Git.GetTree(call, owner, name, commit, true)
	cancel()
	if err != nil {
		return nil, g.trouble(err, repo.InstallationID, "list the files of "+repo.FullName)
	}
	var files []string
	for _, entry := range tree.Entries {
		file := entry.GetPath()
		if entry.GetType() == "blob" && path.Base(file) == manifestName && strings.Count(file, "/") <= maxDepth && !vendored(file) {
			files = append(files, file)
		}
	}
	if tree.GetTruncated() && !slices.Contains(files, manifestName) {
		files = append(files, manifestName) // what a list that was cut may lack
	}
	slices.SortFunc(files, func(a, b string) int {
		if d := strings.Count(a, "/") - strings.Count(b, "/"); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var list []found
	for _, file := range files[:min(maxModules, len(files))] {
		f, there, err := readManifest(ctx, api, owner, name, file, commit)
		if err != nil {
			return nil, err
		}
		if there {
			list = append(list, f)
		}
	}
	return list, nil
}

func vendored(file string) bool {
	for part := range strings.SplitSeq(path.Dir(file), "/") {
		if slices.Contains([]string{"node_modules", "vendor", "third_party", "testdata"}, part) || strings.HasPrefix(part, ".") && part != "." {
			return true
		}
	}
	return false
}

func readManifest(ctx context.Context, api *gh.Client, owner, name, file, commit string) (f found, there bool, err error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	content, _, _, err := api.Repositories.GetContents(call, owner, name, file, &gh.RepositoryContentGetOptions{Ref: commit})
	if err != nil {
		if statusOf(err) == 404 {
			return found{}, false, nil
		}
		return found{}, false, explain(err, "read "+file)
	}
	text, err := content.GetContent()
	if err != nil {
		return found{}, false, fmt.Errorf("%w: read %s: %w", module.ErrUnavailable, file, err)
	}
	f.dir = path.Dir(file)
	m, err := module.ParseManifest([]byte(text))
	if err != nil {
		f.problem = file + ": " + strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
		return f, true, nil
	}
	f.id, f.platforms = m.ID, m.Build.Arch
	if len(f.platforms) == 0 {
		f.platforms = module.DefaultArch()
	}
	return f, true, nil
}

// choose picks the modules that a tag means: "widget/v1.2.3" the one of that name; "v1.2.3" the one in the root, or
// all when none is there. why says why there is none.
func choose(list []found, what string) (chosen []found, why string) {
	if len(list) == 0 {
		return nil, "the commit has no meta.json; add one in the folder of the module, and tag a commit that has it"
	}
	if what == "" {
		if list[0].dir == "." {
			return list[:1], ""
		}
		return list, ""
	}
	var names []string
	for _, f := range list {
		if f.id.Name == what || f.dir == what {
			return []found{f}, ""
		}
		names = append(names, f.id.Name)
	}
	return nil, fmt.Sprintf("no meta.json of the commit is of a module named %q; there are: %s", what, strings.Join(names, ", "))
}
