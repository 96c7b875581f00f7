package module_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"

	"github.com/modfarm/modfarm/module"
)

func version(tb testing.TB, s string) module.Version {
	tb.Helper()
	v, err := module.ParseVersion(s)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func selector(tb testing.TB, s string) module.Selector {
	tb.Helper()
	sel, err := module.ParseSelector(s)
	if err != nil {
		tb.Fatal(err)
	}
	return sel
}

func TestSelectorMatches(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ takes, leaves string }{
		"latest":                 {"0.0.1 1.2.3 1.2.3+rc-1", "1.0.0-rc.1"},
		"latest-with-prerelease": {"0.0.1 1.0.0-rc.1", ""},
		"1.2.3":                  {"1.2.3", "1.2.4 1.2.3-rc.1 1.2.3+b"},
		"v1.2.3":                 {"1.2.3", "1.2.4"},
		"= 1.2.3":                {"1.2.3", "1.2.4"},
		"1.2.3-rc.1+b.7":         {"1.2.3-rc.1+b.7", "1.2.3-rc.1"},
		"1":                      {"1.0.0 1.9.9", "0.9.9 2.0.0 1.5.0-rc.1"},
		"1.x":                    {"1.0.0 1.9.9", "0.9.9 2.0.0"},
		"1.2":                    {"1.2.0 1.2.9 1.2.0+b", "1.1.9 1.3.0"},
		"v1.2":                   {"1.2.0", "1.3.0"},
		"1.2.*":                  {"1.2.0 1.2.9", "1.1.9 1.3.0"},
		"^1.2":                   {"1.2.0 1.99.0", "1.1.9 2.0.0 2.0.0-rc.1"},
		"^1.2.3":                 {"1.2.3 1.3.0", "1.2.2 2.0.0"},
		"^0.2.3":                 {"0.2.3 0.2.9", "0.2.2 0.3.0 1.0.0"},
		"^0.0.3":                 {"0.0.3", "0.0.4 0.0.2"},
		"^0.0":                   {"0.0.0 0.0.9", "0.1.0"},
		"^0":                     {"0.0.0 0.9.9", "1.0.0"},
		"~1.2.3":                 {"1.2.3 1.2.9", "1.2.2 1.3.0"},
		"~1.2":                   {"1.2.0 1.2.9", "1.1.9 1.3.0"},
		"~1":                     {"1.0.0 1.9.9", "2.0.0"},
		"~0.0.0":                 {"0.0.0 0.0.9", "0.1.0 1.0.0"},
		">1.2":                   {"1.3.0", "1.2.0 1.2.9"},
		">1.2.3":                 {"1.2.4", "1.2.3"},
		">=1.2":                  {"1.2.0 9.0.0", "1.1.9"},
		"<1.2":                   {"1.1.9 0.0.0", "1.2.0"},
		"<=1.2":                  {"1.2.9", "1.3.0"},
		"<=1.2.3":                {"1.2.3", "1.2.4"},
		">=1.2 <2":               {"1.2.0 1.9.9", "1.1.9 2.0.0"},
		">= 1.2 , < 2":           {"1.2.0 1.9.9", "1.1.9 2.0.0"},
		"^1.2 !=1.4.0":           {"1.3.0 1.4.1", "1.4.0"},
		"^1.2 !=1.4":             {"1.3.0 1.5.0", "1.4.0 1.4.9"},
		"1.2 || ^3":              {"1.2.5 3.1.0", "1.3.0 2.0.0 4.0.0"},
		"1.2||^3":                {"1.2.5 3.1.0", "1.3.0"},
		"*":                      {"0.0.0 9.9.9", "1.0.0-rc.1"},
		// Prereleases only when one is named, and never those of what lies above.
		">=1.3.0-rc.1 <2":      {"1.3.0-rc.1 1.3.0-rc.2 1.3.0 1.5.0-a 1.9.9", "1.3.0-rc.0 2.0.0-rc.1 2.0.0 1.2.9"},
		"^1.3.0-0":             {"1.3.0-rc.1 1.3.0 1.4.0-rc.1", "2.0.0-rc.1 1.2.9"},
		"~1.3.0-rc.2":          {"1.3.0-rc.2 1.3.0 1.3.1-a", "1.3.0-rc.1 1.4.0-rc.1"},
		">=1.3 <=2.0.0-rc.1":   {"1.3.0 1.4.0-a 2.0.0-rc.1", "2.0.0-rc.2 2.0.0 1.3.0-rc.1"},
		"^1.3.0-rc.1 || ^2":    {"1.3.0-rc.1 2.0.0", "2.1.0-rc.1"},
		">=1.0.0-rc.1 !=1.0.0": {"1.0.0-rc.1 1.0.1", "1.0.0"},
		">=18446744073709551":  {"18446744073709551.0.0", "1.0.0"},
	} {
		sel := selector(t, text)
		for v := range strings.FieldsSeq(want.takes) {
			if !sel.Matches(version(t, v)) {
				t.Errorf("%q does not take %s", text, v)
			}
		}
		for v := range strings.FieldsSeq(want.leaves) {
			if sel.Matches(version(t, v)) {
				t.Errorf("%q takes %s", text, v)
			}
		}
		if sel.Matches(module.Version{}) {
			t.Errorf("%q takes no version", text)
		}
		if back := selector(t, sel.String()); back.String() != sel.String() {
			t.Errorf("%q reads back as %q", sel, back)
		}
	}
}

func TestSelectorRefuses(t *testing.T) {
	t.Parallel()
	for in, advice := range map[string]string{
		"":                        "write latest",
		"  ":                      "write latest",
		"Latest":                  "write latest",
		"stable":                  "write latest",
		"latest-prerelease":       "write latest or latest-with-prerelease",
		"1.2.3.4":                 "such as",
		"01.2":                    "such as",
		"^":                       "such as",
		"^*":                      "such as",
		">x":                      "such as",
		"1.2.3-":                  "such as",
		"1.2-rc.1":                "such as",
		"^1.2.3-01":               "such as",
		"1.2.3.x":                 "such as",
		"1.x.x.x":                 "such as",
		"1.x.3":                   "such as",
		"1.2 - 1.4":               "write the bounds with signs",
		"=>1.2":                   "write >=",
		"~>1.2":                   "write >=, <=, ~",
		"==1.2.3":                 "write >=",
		"1.2 ||":                  "such as",
		"|| 1.2":                  "such as",
		">=1 ^":                   "such as",
		"reload-1-1":              "such as",
		"99999999999999999999":    "such as",
		"1.2.3\x00":               "such as",
		"１.2":                     "such as",
		strings.Repeat("1 ", 300): "a range such as",
	} {
		sel, err := module.ParseSelector(in)
		fault, ok := errors.AsType[module.Fault](err)
		if !ok || !errors.Is(err, module.ErrInvalid) || !strings.Contains(fault.Advice, advice) {
			t.Errorf("ParseSelector(%q) = %q, %v; want the advice %q", in, sel, err, advice)
		}
	}
}

func TestSelectorText(t *testing.T) {
	t.Parallel()
	var zero module.Selector
	if zero.String() != "latest" || !zero.IsLatest() || !zero.Exact().IsZero() {
		t.Errorf("the zero selector is %q", zero)
	}
	for in, want := range map[string]string{"": "latest", "v1.2.3": "1.2.3", " ^1.2 ": "^1.2", "latest-with-prerelease": "latest-with-prerelease"} {
		var sel module.Selector
		if err := sel.UnmarshalText([]byte(in)); err != nil || sel.String() != want {
			t.Errorf("%q reads as %q, %v", in, sel, err)
		}
	}
	if err := zero.UnmarshalText([]byte("newest")); err == nil {
		t.Error("a word that is no selector is read")
	}
	if v := selector(t, "=1.0.0").Exact(); v != version(t, "1.0.0") {
		t.Errorf("=1.0.0 names %q", v)
	}
}

// Where the library means the same, it agrees on every comparison with every small version.
func TestRangesAgreeWithLibrary(t *testing.T) {
	t.Parallel()
	var versions []string
	for major := range 3 {
		for minor := range 3 {
			for patch := range 3 {
				versions = append(versions, fmt.Sprintf("%d.%d.%d", major, minor, patch))
			}
		}
	}
	var shortened []string
	for _, v := range versions {
		shortened = append(shortened, v, v[:3], v[:1])
	}
	slices.Sort(shortened)
	checked := 0
	for _, v := range slices.Compact(shortened) {
		for _, sign := range []string{"=", "!=", ">", ">=", "<", "<=", "~", "^"} {
			text := sign + v
			if text == "~0.0.0" { // the library takes every version for it
				continue
			}
			theirs, err := semver.NewConstraint(text)
			if err != nil {
				t.Fatal(err)
			}
			ours := selector(t, text)
			for _, candidate := range versions {
				checked++
				if got, want := ours.Matches(version(t, candidate)), theirs.Check(semver.MustParse(candidate)); got != want {
					t.Errorf("%q takes %s: %t, the library says %t", text, candidate, got, want)
				}
			}
		}
	}
	if checked < 8000 {
		t.Errorf("only %d cases", checked)
	}
}

func FuzzParseSelector(f *testing.F) {
	for _, seed := range []string{"latest", "1.2", "^1.2.3-rc.1", "~0.0.0 || >=1, <2 !=1.4.0", "1.x.*", "=v1.2.3+b", "1.2 - 3"} {
		f.Add(seed, "1.2.3-rc.1")
	}
	f.Fuzz(func(t *testing.T, text, candidate string) {
		sel, err := module.ParseSelector(text)
		if err != nil {
			if !errors.Is(err, module.ErrInvalid) || err.Error() == "" {
				t.Fatalf("%q: bad failure %v", text, err)
			}
			return
		}
		back, err := module.ParseSelector(sel.String())
		if err != nil || back.String() != sel.String() {
			t.Fatalf("%q prints as %q, which reads as %q, %v", text, sel, back, err)
		}
		v, err := module.ParseVersion(candidate)
		if err != nil {
			return
		}
		takes := sel.Matches(v)
		if takes != back.Matches(v) {
			t.Fatalf("%q and %q differ on %s", text, back, v)
		}
		if takes && v.IsPrerelease() && !strings.Contains(text, "-") {
			t.Fatalf("%q takes the prerelease %s", text, v)
		}
		if !sel.Exact().IsZero() && takes != (v == sel.Exact()) {
			t.Fatalf("%q takes %s: %t", text, v, takes)
		}
	})
}
