package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/modfarm/modfarm/module"
)

// PageSize is how many modules a page of a listing has at most.
const PageSize = 50

const (
	maxWord        = 64   // bytes of a word that is found; longer ones are cut
	maxModuleWords = 2000 // words that one module is found by
	maxTerm        = 500  // bytes of what is searched for
	maxTermWords   = 10   // words of what is searched for
)

// Filter says which modules to list. Zero fields do not narrow.
type Filter struct {
	// Term is words, each of which must begin a word of the module's namespace,
	// name, description, or models, in any case.
	Term string
	// OrgID and Namespaces keep the modules of these organizations.
	OrgID      string
	Namespaces []string
	// Visibilities keep modules that are one of these.
	Visibilities []module.Visibility
	// Platforms keep modules with an upload that runs on one of these.
	Platforms []module.Platform
	// Published keeps modules with a version, or with false those without.
	Published *bool
	// Languages and SourceTypes keep modules that are one of these.
	Languages, SourceTypes []string
	// OwnDeprecated adds the deprecated modules of the viewer's organization.
	OwnDeprecated bool
	// After is the id of the last module of the page before; zero for the first.
	After module.ID
}

// Found is a module in a listing.
type Found struct {
	Module
	// Versions ascend. They are without metadata: ask for the one module.
	Versions []Version
	// Usage is who fetched something of it lately.
	Usage Usage
}

// SearchQuery is a Filter as a store answers it.
type SearchQuery struct {
	// Own is the viewer's organization; its modules count whatever their
	// visibility, others only when public.
	Own string
	// Words must each begin a word that the module is found by.
	Words []string
	// Labels: of each list the module must have one.
	Labels [][]string
	// OrgID, Namespaces, Visibilities, Platforms, Published, OwnDeprecated narrow
	// as in Filter; the platforms are those of uploads.
	OrgID         string
	Namespaces    []string
	Visibilities  []module.Visibility
	Platforms     []module.Platform
	Published     *bool
	OwnDeprecated bool
	// After is the place of the last module of the page before; empty names are
	// the beginning. Limit bounds the page.
	AfterName, AfterOrg string
	Limit               int
}

// SearchStore lists modules.
type SearchStore interface {
	// Search returns modules by name in any case, then by organization.
	Search(ctx context.Context, q SearchQuery) ([]Module, error)
	// Catalog returns the versions of modules, given by key, in no special order
	// and without metadata and commit.
	Catalog(ctx context.Context, keys []string) (map[string][]Version, error)
}

// Search lists a page of the modules that a viewer may list, by name. Unlisted
// modules of others, and deprecated ones, are found by their id alone.
func (r *Registry) Search(ctx context.Context, viewer Viewer, f Filter) ([]Found, error) {
	q, err := queryOf(viewer, f)
	if err != nil {
		return nil, err
	}
	modules, err := r.Store.Search(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	return r.found(ctx, modules)
}

// ModulesFound is Modules with versions and usage.
func (r *Registry) ModulesFound(ctx context.Context, orgID string) ([]Found, error) {
	modules, err := r.Modules(ctx, orgID)
	if err != nil {
		return nil, err
	}
	return r.found(ctx, modules)
}

func (r *Registry) found(ctx context.Context, modules []Module) ([]Found, error) {
	keys := make([]string, 0, len(modules))
	for _, m := range modules {
		keys = append(keys, m.Key)
	}
	versions, err := r.Store.Catalog(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	usage, err := r.Usage(ctx, keys)
	if err != nil {
		return nil, err
	}
	found := make([]Found, 0, len(modules))
	for _, m := range modules {
		slices.SortFunc(versions[m.Key], func(a, b Version) int { return a.Version.Compare(b.Version) })
		found = append(found, Found{Module: m, Versions: versions[m.Key], Usage: usage[m.Key]})
	}
	return found, nil
}

func queryOf(viewer Viewer, f Filter) (SearchQuery, error) {
	words := slices.Collect(wordsOf(f.Term))
	switch {
	case len(f.Term) > maxTerm:
		return SearchQuery{}, module.Fault{Path: "search_term", Value: f.Term, Problem: fmt.Sprintf("%d bytes long", len(f.Term)), Advice: fmt.Sprintf("search for at most %d", maxTerm)}
	case len(words) > maxTermWords:
		return SearchQuery{}, module.Fault{Path: "search_term", Value: f.Term, Problem: fmt.Sprintf("%d words", len(words)), Advice: fmt.Sprintf("search for at most %d", maxTermWords)}
	case len(words) == 0 && strings.TrimSpace(f.Term) != "":
		return SearchQuery{}, module.Fault{Path: "search_term", Value: f.Term, Problem: "no letter and no digit", Advice: "search for words, or for nothing to list all"}
	}
	q := SearchQuery{
		Own: viewer.orgID, Words: words, OrgID: f.OrgID, Namespaces: f.Namespaces, Visibilities: f.Visibilities,
		Published: f.Published, OwnDeprecated: f.OwnDeprecated,
		AfterName: f.After.Name, AfterOrg: f.After.Namespace, Limit: PageSize,
	}
	for _, p := range module.Platforms() {
		if slices.ContainsFunc(f.Platforms, func(asked module.Platform) bool { return p == asked || p.Covers(asked) }) {
			q.Platforms = append(q.Platforms, p)
		}
	}
	for kind, values := range map[string][]string{labelLanguage: f.Languages, labelSource: f.SourceTypes} {
		if len(values) == 0 {
			continue
		}
		var labels []string
		for _, v := range values {
			labels = append(labels, label(kind, v))
		}
		q.Labels = append(q.Labels, labels)
	}
	return q, nil
}

// The kinds of labels. No word has a colon in it.
const (
	labelLanguage = "language"
	labelSource   = "source"
)

func label(kind, value string) string { return kind + ":" + value }

// Words are what the module is found by: the words of its namespace, name,
// description and models in lower case, each once, and its labels.
func (m Module) Words() []string {
	texts := []string{m.Namespace, m.Name}
	for _, model := range m.Metadata.Models {
		texts = append(texts, model.API, model.Model, model.Description)
	}
	texts = append(texts, m.Metadata.Description)
	words := []string{}
	if m.Metadata.Language != "" {
		words = append(words, label(labelLanguage, m.Metadata.Language))
	}
	if m.Metadata.SourceType != "" {
		words = append(words, label(labelSource, m.Metadata.SourceType))
	}
	seen := map[string]bool{}
	for _, text := range texts {
		for word := range wordsOf(text) {
			if len(words) >= maxModuleWords {
				return words
			}
			if !seen[word] {
				seen[word] = true
				words = append(words, word)
			}
		}
	}
	return words
}

// wordsOf yields the runs of letters and digits of a text in lower case.
func wordsOf(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if !yield(cutWord(word)) {
				return
			}
		}
	}
}

// cutWord bounds a word without cutting a letter in two.
func cutWord(word string) string {
	if len(word) <= maxWord {
		return word
	}
	end := maxWord
	for !utf8.RuneStart(word[end]) {
		end--
	}
	return word[:end]
}
