package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
)

// market is a farm with modules of two organizations.
func market(t *testing.T, f *farm) (other account.Org) {
	t.Helper()
	accounts := &account.Accounts{Store: f.store, Secret: account.NewFarmKey()}
	made, err := accounts.CreateOrg(t.Context(), "Other", "other")
	if err != nil {
		t.Fatal(err)
	}
	other = made.Org
	for _, m := range []struct {
		org         account.Org
		name        string
		visibility  module.Visibility
		description string
		model       string
	}{
		{f.acme, "Barometer", module.VisibilityPublic, "Air pressure from a BMP280", "acme:weather:bmp280"},
		{f.acme, "anemometer", module.VisibilityPrivate, "Wind speed", "acme:weather:wind"},
		{f.acme, "hidden", module.VisibilityPublicUnlisted, "Air, secretly", "acme:weather:hidden"},
		{other, "barometer", module.VisibilityPublic, "Pressure of air, über alles", "other:pressure:any"},
		{other, "camera", module.VisibilityPublic, "Looks around", "other:eye:usb"},
		{other, "unlisted", module.VisibilityPublicUnlisted, "Air unseen", "other:air:x"},
		{other, "private", module.VisibilityPrivate, "Air of others", "other:air:y"},
	} {
		made, err := f.CreateModule(t.Context(), m.org.ID, m.name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.ChangeModule(t.Context(), m.org.ID, made.ID(), "key-1", func(change *registry.Module) {
			change.Visibility = m.visibility
			change.Metadata = registry.Metadata{Description: m.description, Models: []registry.Model{{API: "rdk:component:sensor", Model: m.model}}}
			if m.name == "camera" {
				change.Metadata.Traits = registry.Traits{Language: "golang", SourceType: "external"}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return other
}

func (f *farm) search(t *testing.T, viewer registry.Viewer, filter registry.Filter) []string {
	t.Helper()
	found, err := f.Search(t.Context(), viewer, filter)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range found {
		ids = append(ids, m.ID().String())
	}
	return ids
}

func TestSearch(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		other := market(t, f)
		barometer, err := f.Module(t.Context(), registry.ForFarm(), module.ID{Namespace: "acme", Name: "Barometer"})
		if err != nil {
			t.Fatal(err)
		}
		f.publish(t, f.release(t, barometer, "1.0.0", "a", func(rel *module.Release) { rel.Platform = module.Platform{OS: "linux", Arch: "any"} }))
		yes, no := true, false
		acme, stranger := registry.ForOrg(f.acme.ID), registry.ForOrg(f.plain.ID)
		public := []module.Visibility{module.VisibilityPublic}
		tests := map[string]struct {
			viewer registry.Viewer
			filter registry.Filter
			want   []string
		}{
			"everything that acme may list":       {acme, registry.Filter{}, []string{"acme:anemometer", "acme:Barometer", "other:barometer", "other:camera", "acme:hidden"}},
			"everything that strangers see":       {stranger, registry.Filter{}, []string{"acme:Barometer", "other:barometer", "other:camera"}},
			"nobody's":                            {registry.Viewer{}, registry.Filter{}, []string{"acme:Barometer", "other:barometer", "other:camera"}},
			"a word of the description":           {stranger, registry.Filter{Term: "air"}, []string{"acme:Barometer", "other:barometer"}},
			"a word of own private ones":          {acme, registry.Filter{Term: "WIND"}, []string{"acme:anemometer"}},
			"the beginning of words, in any case": {stranger, registry.Filter{Term: "Pres AIR"}, []string{"acme:Barometer", "other:barometer"}},
			"a letter beyond ASCII":               {stranger, registry.Filter{Term: "Über"}, []string{"other:barometer"}},
			"a model":                             {stranger, registry.Filter{Term: "acme:weather:bmp280"}, []string{"acme:Barometer"}},
			"a namespace":                         {stranger, registry.Filter{Term: "other:"}, []string{"other:barometer", "other:camera"}},
			"a word of everything":                {stranger, registry.Filter{Term: "sensor"}, []string{"acme:Barometer", "other:barometer", "other:camera"}},
			"a word in the middle":                {stranger, registry.Filter{Term: "ressure"}, nil},
			"one of two words":                    {stranger, registry.Filter{Term: "air camera"}, nil},
			"wildcards are no words":              {stranger, registry.Filter{Term: "a% air_ x"}, nil},
			"another's private one by its name":   {acme, registry.Filter{Term: "private"}, nil},
			"one organization":                    {acme, registry.Filter{OrgID: other.ID}, []string{"other:barometer", "other:camera"}},
			"the own organization":                {acme, registry.Filter{OrgID: f.acme.ID}, []string{"acme:anemometer", "acme:Barometer", "acme:hidden"}},
			"a namespace as a filter":             {acme, registry.Filter{Namespaces: []string{"Other", "nobody"}}, []string{"other:barometer", "other:camera"}},
			"a namespace of nobody":               {acme, registry.Filter{Namespaces: []string{"nobody"}}, nil},
			"public only":                         {acme, registry.Filter{Visibilities: public}, []string{"acme:Barometer", "other:barometer", "other:camera"}},
			"private only":                        {acme, registry.Filter{Visibilities: []module.Visibility{module.VisibilityPrivate}}, []string{"acme:anemometer"}},
			"unlisted only":                       {acme, registry.Filter{Visibilities: []module.Visibility{module.VisibilityPublicUnlisted}}, []string{"acme:hidden"}},
			"published":                           {acme, registry.Filter{Published: &yes}, []string{"acme:Barometer"}},
			"not published":                       {stranger, registry.Filter{Published: &no}, []string{"other:barometer", "other:camera"}},
			"runs on linux/arm64":                 {stranger, registry.Filter{Platforms: []module.Platform{linuxARM64()}}, []string{"acme:Barometer"}},
			"runs on windows":                     {stranger, registry.Filter{Platforms: []module.Platform{{OS: "windows", Arch: "amd64"}}}, nil},
			"written in Go":                       {stranger, registry.Filter{Languages: []string{"python", "golang"}}, []string{"other:camera"}},
			"of a source":                         {stranger, registry.Filter{SourceTypes: []string{"viam_hosted"}}, nil},
			"after one":                           {acme, registry.Filter{After: module.ID{Namespace: "acme", Name: "BAROMETER"}}, []string{"other:barometer", "other:camera", "acme:hidden"}},
			"after one that is gone":              {stranger, registry.Filter{After: module.ID{Namespace: "gone", Name: "be"}}, []string{"other:camera"}},
		}
		for name, tt := range tests {
			got := f.search(t, tt.viewer, tt.filter)
			if strings.HasPrefix(name, "after one") { // whose organization comes first is left to its id
				got, tt.want = withoutTies(got), withoutTies(tt.want)
			} else {
				got, tt.want = sortedTies(got), sortedTies(tt.want)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// sortedTies puts the two barometers, whose order is that of random ids, into one order.
func sortedTies(ids []string) []string {
	for i := 1; i < len(ids); i++ {
		if strings.EqualFold(afterColon(ids[i-1]), afterColon(ids[i])) && ids[i-1] > ids[i] {
			ids[i-1], ids[i] = ids[i], ids[i-1]
		}
	}
	return ids
}

func withoutTies(ids []string) []string {
	var rest []string
	for _, id := range ids {
		if !strings.EqualFold(afterColon(id), "barometer") {
			rest = append(rest, id)
		}
	}
	return rest
}

func afterColon(id string) string {
	_, name, _ := strings.Cut(id, ":")
	return name
}

func TestDeprecatedModulesAreNotListed(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		market(t, f)
		for _, name := range []string{"Barometer", "anemometer"} {
			if _, err := f.Deprecate(t.Context(), f.acme.ID, module.ID{Namespace: "acme", Name: name}, module.Version{}, "key-1", "why"); err != nil {
				t.Fatal(err)
			}
		}
		stranger, acme := registry.ForOrg(f.plain.ID), registry.ForOrg(f.acme.ID)
		if got := f.search(t, stranger, registry.Filter{Term: "air", OwnDeprecated: true}); len(got) != 1 || got[0] != "other:barometer" {
			t.Errorf("others find %q", got)
		}
		if got := f.search(t, acme, registry.Filter{OrgID: f.acme.ID}); len(got) != 1 || got[0] != "acme:hidden" {
			t.Errorf("its own organization finds %q", got)
		}
		if got := f.search(t, acme, registry.Filter{OrgID: f.acme.ID, OwnDeprecated: true}); len(got) != 3 {
			t.Errorf("its own organization finds %q when it asks for deprecated ones", got)
		}
	})
}

// TestPagesAreStable holds that every module that stays is on exactly one page, whatever happens between two.
func TestPagesAreStable(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		const modules = registry.PageSize*2 + 10
		want := map[string]bool{}
		for i := range modules {
			m := f.module(t, fmt.Sprintf("m%03d", i))
			want[m.ID().String()] = true
		}
		var filter registry.Filter
		got := map[string]bool{}
		for page := 0; ; page++ {
			ids := f.search(t, registry.ForOrg(f.acme.ID), filter)
			for _, id := range ids {
				if got[id] {
					t.Errorf("%s is on two pages", id)
				}
				got[id] = true
			}
			if len(ids) < registry.PageSize {
				break
			}
			last, err := module.ParseID(ids[len(ids)-1])
			if err != nil {
				t.Fatal(err)
			}
			filter.After = last
			// The last of the page goes, and another comes before it.
			if err := f.delete(t, registry.Module{OrgID: f.acme.ID, Namespace: "acme", Name: last.Name}, registry.Target{}); err != nil {
				t.Fatal(err)
			}
			f.module(t, fmt.Sprintf("a%d", page))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
	})
}

func TestSearchRefuses(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		for name, term := range map[string]string{
			"no letter": "%%%", "too long": strings.Repeat("a", 501), "too many words": strings.Repeat("a ", 11),
		} {
			_, err := f.Search(t.Context(), registry.Viewer{}, registry.Filter{Term: term})
			if !errors.Is(err, module.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
			mustContain(t, err, "search_term", "search for")
		}
	})
}

func TestSearchFollowsUpdates(t *testing.T) {
	onEach(t, func(w world) {
		t, f := w.t, w.farm
		m := f.module(t, "widget")
		acme := registry.ForOrg(f.acme.ID)
		update := func(description string) {
			t.Helper()
			if _, err := f.UpdateModule(t.Context(), f.acme.ID, m.ID(), registry.Update{Metadata: registry.Metadata{Description: description}}); err != nil {
				t.Fatal(err)
			}
		}
		update("first second " + strings.Repeat("x", 100) + " " + strings.Repeat("é", 60))
		for _, term := range []string{"second", strings.Repeat("x", 100), strings.Repeat("é", 60)} {
			if got := f.search(t, acme, registry.Filter{Term: term}); len(got) != 1 {
				t.Errorf("%q finds %q", term, got)
			}
		}
		update("third")
		if got := f.search(t, acme, registry.Filter{Term: "second"}); len(got) != 0 {
			t.Errorf("what is no longer said finds %q", got)
		}
		var many strings.Builder
		for i := range 3000 {
			fmt.Fprintf(&many, "w%d ", i)
		}
		update(many.String())
		if got := f.search(t, acme, registry.Filter{Term: "w1500 widget"}); len(got) != 1 {
			t.Errorf("a word of many finds %q", got)
		}
	})
}
