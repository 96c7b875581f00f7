package module_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/modfarm/modfarm/module"
)

func platform(tb testing.TB, s string) module.Platform {
	tb.Helper()
	p, err := module.ParsePlatform(s)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// upload reads "1.2.0 linux/arm64 cuda:12 distro:debian".
func upload(tb testing.TB, s string) module.Upload {
	tb.Helper()
	parts := strings.Fields(strings.ReplaceAll(s, ",", " "))
	u := module.Upload{Version: version(tb, parts[0]), Platform: platform(tb, parts[1])}
	u.Tags = append(u.Tags, parts[2:]...)
	return u
}

// tableRows returns the cells of the n-th table of a Markdown text, without its head.
func tableRows(t *testing.T, text string, n int) [][]string {
	t.Helper()
	var rows [][]string
	table := -1
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if strings.HasPrefix(line, "|---") {
			table++
			continue
		}
		cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "\x00"), "|")
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "\x00", "|")
		}
		if table == n && cells[0] != "selector" {
			rows = append(rows, cells)
		}
	}
	return rows
}

func TestDocumentedTable(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/resolving.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "## The table")
	var uploads []module.Upload
	for _, row := range tableRows(t, text, 0) {
		u := upload(t, row[0]+" "+row[1]+" "+row[2])
		u.Deprecated, u.DeprecationMessage = row[3] != "", row[3]
		uploads = append(uploads, u)
	}
	rows := tableRows(t, text, 1)
	if len(uploads) < 15 || len(rows) < 30 {
		t.Fatalf("only %d uploads and %d rows were found", len(uploads), len(rows))
	}
	for _, row := range rows {
		machine := module.Machine{Platform: platform(t, row[1]), Tags: strings.Fields(strings.ReplaceAll(row[2], ",", " "))}
		got, ok := module.Resolve(uploads, selector(t, row[0]), machine).Taken()
		text := "nothing"
		if ok {
			text = strings.TrimSpace(got.Version.String() + " " + got.Platform.String() + " " + strings.Join(got.Tags, ", "))
		}
		if text != row[3] {
			t.Errorf("%s on %s gets %s, the table says %s", row[0], machine, text, row[3])
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	uploads := []module.Upload{
		upload(t, "1.0.0 linux/arm64"),
		upload(t, "1.3.0-rc.1 linux/arm64"),
		upload(t, "1.2.0 any"),
		upload(t, "1.2.0 linux/arm64 distro:debian"),
		upload(t, "1.2.0 linux/arm64 cuda:12 distro:debian"),
		upload(t, "1.2.0 linux/amd64"),
		upload(t, "1.2.1 linux/arm64"),
		upload(t, "1.2.2 linux/arm64"),
		upload(t, "1.3.0 linux/any"),
	}
	uploads[7].Deprecated, uploads[7].DeprecationMessage = true, "loses data."
	r := module.Resolve(uploads, selector(t, "^1.2"), module.Machine{Platform: platform(t, "linux/arm64"), Tags: []string{"distro:debian"}})
	var got []string
	for _, c := range r.Explain() {
		got = append(got, strings.TrimSpace(c.Upload.String()+" "+string(c.Refused)+": "+c.Reason))
	}
	const best = "fits, but comes after 1.2.0 for linux/arm64 (distro:debian), "
	want := []string{
		"1.2.0 for linux/arm64 (distro:debian) :",
		"1.2.1 for linux/arm64 outranked: " + best + "which has more tags that fit",
		"1.3.0 for linux/any outranked: " + best + "whose platform is closer to the machine's",
		"1.2.0 for any outranked: " + best + "whose platform is closer to the machine's",
		"1.3.0-rc.1 for linux/arm64 prerelease: is a prerelease, which the range does not name; ask for 1.3.0-rc.1, or for a range that names a prerelease",
		"1.2.2 for linux/arm64 deprecated: is deprecated: loses data; ask for 1.2.2 to get it all the same",
		"1.2.0 for linux/amd64 platform: is for linux/amd64, and the machine is linux/arm64",
		"1.2.0 for linux/arm64 (cuda:12, distro:debian) tags: needs cuda:12, which the machine does not have",
		"1.0.0 for linux/arm64 version: is outside of ^1.2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("explanation (-want +got):\n%s", diff)
	}
	if err := r.Err(module.ID{Namespace: "acme", Name: "widget"}); err != nil {
		t.Errorf("an error beside a result: %v", err)
	}
}

func TestResolutionErr(t *testing.T) {
	t.Parallel()
	id := module.ID{Namespace: "acme", Name: "widget"}
	arm := module.Machine{Platform: platform(t, "linux/arm64")}
	err := module.Resolve(nil, module.Latest(), arm).Err(id)
	if !errors.Is(err, module.ErrNotFound) || !strings.Contains(err.Error(), "no published version") {
		t.Errorf("without uploads: %v", err)
	}
	uploads := []module.Upload{
		upload(t, "3.0.0-rc.1 linux/arm64"), upload(t, "2.0.0 linux/amd64"), upload(t, "1.0.0 linux/arm64 cuda:12"), upload(t, "0.9.0 linux/amd64"),
	}
	err = module.Resolve(uploads, module.Latest(), arm).Err(id)
	want := "no upload of acme:widget fits latest on linux/arm64: " +
		"1.0.0 for linux/arm64 (cuda:12) needs cuda:12, which the machine does not have; " +
		"2.0.0 for linux/amd64 is for linux/amd64, and the machine is linux/arm64; " +
		"0.9.0 for linux/amd64 is for linux/amd64, and the machine is linux/arm64; and 1 more do not"
	if !errors.Is(err, module.ErrNotFound) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("nothing fits: %v", err)
	}
	deprecated := upload(t, "1.0.0 linux/arm64")
	deprecated.Deprecated = true
	r := module.Resolve([]module.Upload{deprecated}, module.Exactly(deprecated.Version), arm)
	if u, ok := r.Taken(); !ok || u.Warning() != "1.0.0 is deprecated" {
		t.Errorf("named exactly: %v, warning %q", ok, u.Warning())
	}
}

// beats says that a goes before b on a machine: the documented rules once more, written apart from the code.
func beats(a, b module.Upload, machine module.Platform) bool {
	rank := func(p module.Platform) string {
		switch p.String() {
		case machine.String():
			return "1 exact"
		case machine.OS + "/any":
			return "2 wildcard architecture"
		case "any/" + machine.Arch:
			return "3 wildcard system"
		}
		return "4 any"
	}
	if rank(a.Platform) != rank(b.Platform) {
		return rank(a.Platform) < rank(b.Platform)
	}
	if len(a.Tags) != len(b.Tags) {
		return len(a.Tags) > len(b.Tags)
	}
	if a.Version != b.Version {
		return a.Version.Compare(b.Version) > 0
	}
	return slices.Compare(a.Tags, b.Tags) < 0
}

func fits(u module.Upload, sel module.Selector, machine module.Machine) bool {
	for _, tag := range u.Tags {
		if !slices.Contains(machine.Tags, tag) {
			return false
		}
	}
	if !sel.Matches(u.Version) || (u.Deprecated && u.Version.String() != sel.String()) {
		return false
	}
	switch u.Platform.String() {
	case "any", machine.Platform.String(), machine.Platform.OS + "/any", "any/" + machine.Platform.Arch:
		return true
	}
	return false
}

// TestResolveAgainstOracle compares with the obvious way to do it, on generated modules.
func TestResolveAgainstOracle(t *testing.T) {
	t.Parallel()
	const cases = 5000
	versions := strings.Fields("0.1.0 0.1.1 1.0.0 1.0.0+b1 1.0.0+b2 1.2.0-rc.1 1.2.0 1.2.1 1.3.0-a 2.0.0-rc.1 2.0.0 2.0.1")
	selectors := strings.Fields("latest latest-with-prerelease 1.0.0 1.2.1 1.0.0+b2 1.2.0-rc.1 0 1 1.2 ^1 ^0.1 ~1.2.0 >1.0.0 <2 >=1.2.0-0 *")
	tags := strings.Fields("cuda:12 distro:debian libc:musl")
	some := func(random *rand.Rand, of []string) (list []string) {
		for _, s := range of {
			if random.IntN(3) == 0 {
				list = append(list, s)
			}
		}
		return list
	}
	found := 0
	for seed := range uint64(cases) {
		random := rand.New(rand.NewPCG(seed, 1))
		uploads := map[string]module.Upload{}
		for range random.IntN(12) {
			u := module.Upload{
				Version: version(t, versions[random.IntN(len(versions))]), Platform: module.Platforms()[random.IntN(len(module.Platforms()))],
				Tags: some(random, tags), Deprecated: random.IntN(6) == 0,
			}
			uploads[u.String()] = u
		}
		sel := selector(t, selectors[random.IntN(len(selectors))])
		machine := module.Machine{Platform: module.Platforms()[random.IntN(7)], Tags: some(random, tags)}
		var list []module.Upload
		for _, u := range uploads {
			list = append(list, u)
		}
		r := module.Resolve(list, sel, machine)
		got, ok := r.Taken()
		var want []module.Upload
		for _, u := range list {
			best := fits(u, sel, machine)
			for _, other := range list {
				best = best && (!fits(other, sel, machine) || other.String() == u.String() || beats(u, other, machine.Platform))
			}
			if best {
				want = append(want, u)
			}
		}
		if len(want) > 1 || ok != (len(want) == 1) || (ok && got.String() != want[0].String()) {
			t.Fatalf("case %d: %s on %s of %v: got %v %v, want %v", seed, sel, machine, list, got, ok, want)
		}
		if ok {
			found++
		}
		checkExplanation(t, r, list, machine)
	}
	if found < cases/10 {
		t.Errorf("only %d of %d cases found something", found, cases)
	}
}

// checkExplanation: every upload is there once, the taken one first, each other with a reason, and the order of
// what was published makes no difference.
func checkExplanation(t *testing.T, r module.Resolution, uploads []module.Upload, machine module.Machine) {
	t.Helper()
	list := r.Explain()
	if len(list) != len(uploads) {
		t.Fatalf("%d of %d uploads explained", len(list), len(uploads))
	}
	_, ok := r.Taken()
	for i, c := range list {
		if taken := ok && i == 0; taken != (c.Refused == "") || taken != (c.Reason == "") {
			t.Fatalf("candidate %d, %s: %q %q", i, c.Upload, c.Refused, c.Reason)
		}
	}
	if ok != (r.Err(module.ID{}) == nil) {
		t.Fatalf("error %v beside a result: %v", r.Err(module.ID{}), ok)
	}
	slices.Reverse(uploads)
	if diff := cmp.Diff(list, module.Resolve(uploads, r.Selector, machine).Explain(), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the order of uploads matters (-one +other):\n%s", diff)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("^1.2", "linux/arm64", "distro:debian", "1.2.0 linux/arm64\n1.3.0 linux/any distro:debian\n!1.4.0 any")
	f.Add("latest", "darwin/arm64", "", "1.0.0-rc.1 any\n1.0.0 any/arm64")
	f.Fuzz(func(t *testing.T, text, on, tags, lines string) {
		sel, err := module.ParseSelector(text)
		if err != nil {
			return
		}
		p, err := module.ParsePlatform(on)
		if err != nil || p.IsWildcard() {
			return
		}
		machine := module.Machine{Platform: p, Tags: strings.Fields(tags)}
		seen := map[string]bool{}
		var uploads []module.Upload
		for line := range strings.Lines(lines) {
			name, deprecated := strings.CutPrefix(strings.TrimSpace(line), "!")
			parts := strings.Fields(name)
			if len(parts) < 2 || len(uploads) == 30 {
				continue
			}
			v, verr := module.ParseVersion(parts[0])
			platform, perr := module.ParsePlatform(parts[1])
			slices.Sort(parts[2:])
			u := module.Upload{Version: v, Platform: platform, Tags: parts[2:], Deprecated: deprecated}
			if verr != nil || perr != nil || seen[u.String()] {
				continue
			}
			seen[u.String()] = true
			uploads = append(uploads, u)
		}
		r := module.Resolve(uploads, sel, machine)
		u, ok := r.Taken()
		if ok && !fits(u, sel, machine) {
			t.Fatalf("%s does not fit %s on %s", u, sel, machine)
		}
		for _, other := range uploads {
			if fits(other, sel, machine) && (!ok || (other.String() != u.String() && !beats(u, other, p))) {
				t.Fatalf("%s on %s took %s (%v) and not %s", sel, machine, u, ok, other)
			}
		}
	})
}
