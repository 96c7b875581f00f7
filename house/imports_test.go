package house_test

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// root is the top of the tree as seen from this package.
const root = ".."

// rule is a row of the import table: the packages that `pkg` may import directly, of ours. A pattern
// "farm..." means farm and all below it; "..." means all.
type rule struct {
	pkg string
	may []string
}

// importTable is the shape of the house. Arrows point towards module: it is what is built, farm decides,
// workers do, agent installs, action asks, cmd introduces them. A package that is in no row fails the
// test, so that a new one gets its place here first. Tests are free, and a package that tests share may
// import what it is beside and what that may import.
func importTable() []rule {
	return []rule{
		{"module", nil},
		{"module/archive", []string{"module"}},
		{"module/problems", nil},
		{"module/project", []string{"module", "module/archive"}},
		{"module/provenance", []string{"module"}},
		{"module/scaffold", []string{"module"}},
		{"module/source", []string{"module"}},

		{"farm", []string{"module"}},
		{"farm/account", []string{"module"}},
		{"farm/store", []string{"farm", "farm/account", "farm/github", "farm/registry", "module"}},
		{"farm/redis", []string{"farm", "module"}},
		{"farm/registry", []string{"module..."}},
		{"farm/github", []string{"farm", "module", "module/problems"}},
		{"farm/oidc", []string{"module"}},
		{"farm/api...", []string{"farm...", "module...", "proto..."}},
		{"farm/web", []string{"farm...", "module..."}},

		{"client", []string{"module...", "proto..."}},
		{"workers", []string{"client", "farm/redis", "module..."}},
		{"workers/binfmt", []string{"module"}},
		{"workers/docker", []string{"module", "workers", "workers/binfmt", "workers/docker/guard"}},
		{"workers/docker/guard", []string{"module"}},
		{"workers/images", []string{"module", "workers/binfmt"}},
		{"agent", []string{"client", "module..."}},
		{"action", []string{"client", "module", "module/archive", "module/problems"}},

		{"proto...", []string{"proto..."}},
		{"cmd/modfarm", []string{"..."}},
		{"e2e...", []string{"..."}},
		{"house", nil},
	}
}

func TestImportTable(t *testing.T) {
	t.Parallel()

	table := importTable()
	for _, p := range listPackages(t, "./...") {
		name, ok := ours(p.ImportPath)
		if !ok {
			continue // not of this module
		}
		subject := name
		if forTests(name) {
			subject = path.Dir(name)
		}
		row := slices.IndexFunc(table, func(r rule) bool { return covers(r.pkg, subject) })
		if row < 0 {
			t.Errorf("%s is in no row of the import table: decide what it may import, and add it", name)
			continue
		}
		may := table[row].may
		if forTests(name) {
			may = append(slices.Clone(may), subject)
		}
		for _, imported := range p.Imports {
			target, ok := ours(imported)
			if !ok {
				continue
			}
			if forTests(target) && forTests(name) {
				continue // what tests share may stand on one another
			}
			if forTests(target) && !covers("e2e...", name) {
				t.Errorf("%s imports %s, which is for tests", name, target)
			}
			allowed := func(pattern string) bool { return covers(pattern, target) }
			if !slices.ContainsFunc(may, allowed) {
				t.Errorf("%s imports %s; it may import %s", name, target, spell(may))
			}
		}
	}
}

// covers reports whether a pattern of the table means this package.
func covers(pattern, name string) bool {
	prefix, tree := strings.CutSuffix(pattern, "...")
	switch {
	case !tree:
		return pattern == name
	case prefix == "":
		return true
	default:
		return name == prefix || strings.HasPrefix(name, prefix+"/")
	}
}

// forTests: packages named like the standard library's httptest are what tests share.
func forTests(name string) bool { return strings.HasSuffix(path.Base(name), "test") }

func spell(may []string) string {
	if len(may) == 0 {
		return "nothing of ours"
	}
	return strings.Join(may, ", ")
}

func TestCovers(t *testing.T) {
	t.Parallel()

	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"module", "module", true},
		{"module", "module/archive", false},
		{"module...", "module", true},
		{"module...", "module/archive", true},
		{"module...", "modules", false},
		{"farm/api...", "farm/api/wire", true},
		{"farm/api...", "farm/apis", false},
		{"...", "farm/store", true},
	} {
		if got := covers(test.pattern, test.name); got != test.want {
			t.Errorf("covers(%q, %q) = %t, want %t", test.pattern, test.name, got, test.want)
		}
	}
}

// TestSmallProgramsLinkNoServer holds what runs on other people's machines: the client, the agent of a
// device and the step of a workflow carry no server code, no SQL driver, no object store, no queue and
// no container engine, however deep below.
func TestSmallProgramsLinkNoServer(t *testing.T) {
	t.Parallel()

	banned := []string{
		modulePath + "farm...",
		modulePath + "workers...",
		"database/sql", // not its driver package, whose two interfaces every UUID library knows
		"modernc.org/sqlite...",
		"github.com/jackc/pgx/v5...",
		"github.com/pressly/goose/v3...",
		"github.com/minio/minio-go/v7...",
		"github.com/redis/go-redis/v9...",
		"github.com/alicebob/miniredis/v2...",
		"github.com/moby/moby/client...",
	}
	var present []string
	for _, p := range listPackages(t, "./...") {
		present = append(present, p.ImportPath)
	}

	for _, name := range []string{"client", "agent", "action"} {
		if !slices.Contains(present, modulePath+name) {
			t.Logf("%s is not there yet", name)
			continue
		}
		for _, p := range listPackages(t, "-deps", "./"+name) {
			linked := func(pattern string) bool { return covers(pattern, p.ImportPath) }
			if slices.ContainsFunc(banned, linked) {
				t.Errorf("%s links %s", name, p.ImportPath)
			}
		}
	}
}

// TestPackagesIntroduceThemselves: a comment of more than a line of words on every package, and no name
// that says nothing and therefore attracts everything.
func TestPackagesIntroduceThemselves(t *testing.T) {
	t.Parallel()

	empty := []string{"util", "utils", "common", "shared", "base", "misc", "helper", "helpers"}
	for _, p := range listPackages(t, "./...") {
		name, ok := ours(p.ImportPath)
		if !ok || len(p.GoFiles) == 0 {
			continue
		}
		if slices.Contains(empty, path.Base(name)) {
			t.Errorf("%s: the name says nothing about what is inside", name)
		}
		if !covers("proto...", name) && len(strings.Fields(p.Doc)) < 6 {
			t.Errorf("%s: the package comment is %q; say what it owns and what it never does", name, p.Doc)
		}
	}
}
