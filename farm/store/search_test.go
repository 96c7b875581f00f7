package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/farm/store"
	"github.com/modfarm/modfarm/farm/store/storetest"
	"github.com/modfarm/modfarm/module"
)

// crowd fills a store with public modules of ten organizations, each with two words: one that all have and one that a
// thousandth of them has. Every tenth module has a version for linux/amd64.
func crowd(tb testing.TB, s *store.Store, modules int) {
	tb.Helper()
	numbers := func(n int) string {
		return fmt.Sprintf("(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n) AS n", n-1)
	}
	for _, query := range []string{
		`INSERT INTO orgs (id, name, namespace, created_at) SELECT 'o' || i, 'o' || i, 'n' || i, 0 FROM ` + numbers(10),
		`INSERT INTO modules (module_key, org_id, name, visibility, metadata, created_at, updated_at)
			SELECT 'k' || i, 'o' || (i % 10), 'm' || i, 'public', '{}', 0, 0 FROM ` + numbers(modules),
		`INSERT INTO module_words (word, module_key) SELECT CAST('sensor' AS BLOB), 'k' || i FROM ` + numbers(modules),
		`INSERT INTO module_words (word, module_key) SELECT CAST('w' || (i % 1000) AS BLOB), 'k' || i FROM ` + numbers(modules),
		`INSERT INTO blobs (sha256, object_key, size, crc32c, tar_sha256, created_at, received_at, marked_at) VALUES ('d', 'd', 1, 1, 'd', 0, 0, 0)`,
		`INSERT INTO versions (module_key, version, metadata, created_at) SELECT 'k' || (i * 10), '1.0.0', '{}', 0 FROM ` + numbers(modules/10),
		`INSERT INTO releases (module_key, version, platform, tags, commit_sha, build_id, strategy, sha256, entrypoint, manifest, warnings, published_at)
			SELECT 'k' || (i * 10), '1.0.0', 'linux/amd64', '', '', '', '', 'd', '', '', '[]', 0 FROM ` + numbers(modules/10),
	} {
		if err := s.Exec(tb.Context(), query); err != nil {
			tb.Fatalf("%s: %v", query, err)
		}
	}
	if err := s.Analyze(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// searches are what people ask for.
func searches() map[string]registry.SearchQuery {
	published := true
	return map[string]registry.SearchQuery{
		"first page":        {Own: "o1", Limit: 50},
		"a page in between": {Own: "o1", Limit: 50, AfterName: "m55555", AfterOrg: "n5"},
		"rare word":         {Own: "o1", Limit: 50, Words: []string{"w777"}},
		"word of all":       {Own: "o1", Limit: 50, Words: []string{"sens"}},
		"both words":        {Own: "o1", Limit: 50, Words: []string{"sensor", "w77"}},
		"one organization":  {Own: "o1", Limit: 50, OrgID: "o2"},
		"one namespace":     {Own: "o1", Limit: 50, Namespaces: []string{"n3"}},
		"published for a platform": {
			Own: "o1", Limit: 50, Published: &published, Platforms: []module.Platform{{OS: "linux", Arch: "amd64"}},
		},
	}
}

// TestSearchGoesThroughIndexes holds that no search reads all modules, or sorts more than two pages of them.
func TestSearchGoesThroughIndexes(t *testing.T) {
	onEach(t, func(w world) {
		s := storetest.Reopen(w.t, w.dsn)
		crowd(w.t, s, 20_000)
		for name, q := range searches() {
			plan, err := s.ExplainSearch(w.t.Context(), q)
			if err != nil {
				w.t.Fatalf("%s: %v", name, err)
			}
			for line := range strings.Lines(plan) {
				if strings.Contains(line, "Seq Scan on modules") || (strings.Contains(line, "SCAN m") && !strings.Contains(line, "USING INDEX")) {
					w.t.Errorf("%s: all modules are read:\n%s", name, plan)
				}
			}
			if found, err := s.Search(w.t.Context(), q); err != nil || len(found) == 0 {
				w.t.Errorf("%s: %d found, error %v", name, len(found), err)
			}
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	for _, dialect := range storetest.Dialects() {
		s := servers.Open(b, dialect)
		crowd(b, s, 100_000)
		for name, q := range searches() {
			b.Run(dialect+"/"+strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Search(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
