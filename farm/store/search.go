package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

// fewModules is how many modules a word may have for a search to start from it. A word of more modules is so common
// that going through the modules by name finds a page of them soon.
const fewModules = 500

// chunk is how many keys one query names: databases bound their parameters.
const chunk = 500

// Search lists modules by name. It goes through two indexes that are in that order, the viewer's own modules and all
// that are public, and takes the first of both; or it starts from the few modules that the rarest word has.
func (s *Store) Search(ctx context.Context, q registry.SearchQuery) ([]registry.Module, error) {
	query, args, err := s.searching(ctx, q)
	if err != nil || query == "" {
		return nil, err
	}
	return queryModules(ctx, s, query, args...)
}

// searching is the query of a search; empty when nothing can be found.
func (s *Store) searching(ctx context.Context, q registry.SearchQuery) (query string, args []any, err error) {
	var common where
	some, err := s.narrow(ctx, q, &common)
	if err != nil || !some {
		return "", nil, err
	}
	var parts []string
	for _, part := range []where{own(q), listed(q)} {
		if part.never {
			continue
		}
		part.and(common.text(), common.args...)
		parts = append(parts, "SELECT * FROM ("+selectModule+"WHERE "+part.text()+
			fmt.Sprintf(" ORDER BY lower(m.name), m.org_id LIMIT ?) AS part%d", len(parts)))
		args = append(append(args, part.args...), q.Limit)
	}
	if len(parts) == 0 {
		return "", nil, nil
	}
	return "SELECT * FROM (" + strings.Join(parts, " UNION ALL ") + ") AS page ORDER BY lower(name), org_id LIMIT ?", append(args, q.Limit), nil
}

// where collects conditions that all must hold.
type where struct {
	conditions []string
	args       []any
	never      bool // nothing can hold
}

func (w *where) and(condition string, args ...any) {
	if condition == "" {
		return
	}
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

func (w *where) text() string { return strings.Join(w.conditions, " AND ") }

// own are the conditions for modules of the viewer's organization.
func own(q registry.SearchQuery) (w where) {
	w.never = q.Own == "" || (q.OrgID != "" && q.OrgID != q.Own)
	w.and("m.org_id = ? AND m.deleted_at = 0", q.Own)
	if !q.OwnDeprecated {
		w.and("m.deprecated_at = 0")
	}
	if len(q.Visibilities) > 0 {
		w.and("m.visibility IN "+list(len(q.Visibilities)), anys(q.Visibilities)...)
	}
	return w
}

// listed are the conditions for modules of everybody else; they are those of the index modules_listed.
func listed(q registry.SearchQuery) (w where) {
	w.never = (q.OrgID != "" && q.OrgID == q.Own) ||
		(len(q.Visibilities) > 0 && !slices.Contains(q.Visibilities, module.VisibilityPublic))
	w.and("m.visibility = 'public' AND m.deleted_at = 0 AND m.deprecated_at = 0 AND m.org_id <> ?", q.Own)
	if q.OrgID != "" {
		w.and("m.org_id = ?", q.OrgID)
	}
	return w
}

// narrow adds the conditions that hold for all modules alike; some is false when no module can meet them.
func (s *Store) narrow(ctx context.Context, q registry.SearchQuery, w *where) (some bool, err error) {
	if len(q.Namespaces) > 0 {
		orgs, err := s.orgsOf(ctx, q.Namespaces)
		if err != nil || len(orgs) == 0 {
			return false, err
		}
		w.and("m.org_id IN "+list(len(orgs)), anys(orgs)...)
	}
	if q.AfterName != "" {
		org, err := s.orgOf(ctx, q.AfterOrg)
		if err != nil {
			return false, err
		}
		w.and("lower(m.name) >= lower(?) AND (lower(m.name) > lower(?) OR m.org_id > ?)", q.AfterName, q.AfterName, org)
	}
	if len(q.Platforms) > 0 {
		var names []string
		for _, p := range q.Platforms {
			names = append(names, p.String())
		}
		w.and("EXISTS (SELECT 1 FROM releases r WHERE r.module_key = m.module_key AND r.platform IN "+list(len(names))+")", anys(names)...)
	}
	if q.Published != nil {
		not := ""
		if !*q.Published {
			not = "NOT "
		}
		w.and(not + "EXISTS (SELECT 1 FROM versions v WHERE v.module_key = m.module_key AND v.deleted_at = 0)")
	}
	for _, labels := range q.Labels {
		w.and("EXISTS (SELECT 1 FROM module_words w WHERE w.module_key = m.module_key AND w.word IN "+list(len(labels))+")", blobs(labels)...)
	}
	return s.narrowByWords(ctx, q.Words, w)
}

// narrowByWords names the few modules that the rarest word has, when there are few, and tests the other words.
func (s *Store) narrowByWords(ctx context.Context, words []string, w *where) (some bool, err error) {
	var few []string
	for _, word := range words {
		keys, err := s.withWord(ctx, word, fewModules+1)
		if err != nil || len(keys) == 0 {
			return false, err
		}
		if len(keys) <= fewModules && (few == nil || len(keys) < len(few)) {
			few = keys
		}
	}
	if few != nil {
		w.and("m.module_key IN "+list(len(few)), anys(few)...)
	}
	for _, word := range words {
		from, to := begins(word)
		w.and("EXISTS (SELECT 1 FROM module_words w WHERE w.module_key = m.module_key AND w.word >= ? AND w.word < ?)", from, to)
	}
	return true, nil
}

// withWord lists modules that a word begins a word of.
func (s *Store) withWord(ctx context.Context, word string, limit int) ([]string, error) {
	from, to := begins(word)
	var keys []string
	err := s.all(ctx, "SELECT DISTINCT module_key FROM module_words WHERE word >= ? AND word < ? LIMIT ?", []any{from, to, limit}, func(row scanner) error {
		var key string
		err := row.Scan(&key)
		keys = append(keys, key)
		return err
	})
	return keys, err
}

// begins is the range of words that begin with this one: no UTF-8 has the byte 0xff.
func begins(word string) (from, to []byte) { return []byte(word), append([]byte(word), 0xff) }

func blobs(words []string) []any {
	args := make([]any, 0, len(words))
	for _, word := range words {
		args = append(args, []byte(word))
	}
	return args
}

// orgsOf are the organizations with these namespaces, in any case.
func (s *Store) orgsOf(ctx context.Context, namespaces []string) ([]string, error) {
	var ids []string
	var args []any
	for _, n := range namespaces {
		args = append(args, strings.ToLower(n))
	}
	err := s.all(ctx, "SELECT id FROM orgs WHERE namespace <> '' AND lower(namespace) IN "+list(len(args)), args, func(row scanner) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// orgOf is the organization that the prefix of a module's id names. One that nobody has is taken as it stands: it is a
// place in the order all the same.
func (s *Store) orgOf(ctx context.Context, prefix string) (string, error) {
	ids, err := s.orgsOf(ctx, []string{prefix})
	if err != nil || len(ids) == 0 {
		return prefix, err
	}
	return ids[0], nil
}

// Catalog lists the versions of modules with their files.
func (s *Store) Catalog(ctx context.Context, keys []string) (map[string][]registry.Version, error) {
	versions := map[string][]registry.Version{}
	for part := range slices.Chunk(keys, chunk) {
		if err := s.catalog(ctx, part, versions); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func (s *Store) catalog(ctx context.Context, keys []string, versions map[string][]registry.Version) error {
	return s.all(ctx, `SELECT v.module_key, v.version, v.deprecated_at, v.deprecated_why, r.platform, r.tags, r.published_at
		FROM versions v JOIN releases r ON r.module_key = v.module_key AND r.version = v.version
		WHERE v.module_key IN `+list(len(keys))+` ORDER BY v.module_key, v.version, r.platform, r.tags`, anys(keys), func(row scanner) error {
		var key, version, platform, tags string
		var deprecated, at int64
		var v registry.Version
		var f registry.File
		if err := row.Scan(&key, &version, &deprecated, &v.Deprecated.Why, &platform, &tags, &at); err != nil {
			return err
		}
		if err := f.Platform.UnmarshalText([]byte(platform)); err != nil {
			return fmt.Errorf("stored release: %w", err)
		}
		f.Tags, f.UploadedAt = splitTags(tags), fromMillis(at)
		list := versions[key]
		if n := len(list); n == 0 || list[n-1].Version.String() != version {
			if err := v.Version.UnmarshalText([]byte(version)); err != nil {
				return fmt.Errorf("stored version: %w", err)
			}
			v.Deprecated.At = fromMillis(deprecated)
			list = append(list, v)
		}
		last := &list[len(list)-1]
		last.Files = append(last.Files, f)
		versions[key] = list
		return nil
	})
}

// putWords replaces what a module is found by.
func (t *tx) putWords(ctx context.Context, m registry.Module) error {
	if _, err := t.exec(ctx, "DELETE FROM module_words WHERE module_key = ?", m.Key); err != nil {
		return err
	}
	for words := range slices.Chunk(m.Words(), chunk) {
		args := make([]any, 0, 2*len(words))
		for _, word := range words {
			args = append(args, []byte(word), m.Key)
		}
		if _, err := t.exec(ctx, "INSERT INTO module_words (word, module_key) VALUES "+strings.TrimSuffix(strings.Repeat("(?, ?), ", len(words)), ", "), args...); err != nil {
			return err
		}
	}
	return nil
}
