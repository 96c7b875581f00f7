package module_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/modfarm/modfarm/module"
)

// schemaFile is what editors check modfarm.yaml with.
var schemaFile = filepath.Join("..", "docs", "modfarm.schema.json")

// schemaNode is what these tests read of a schema.
type schemaNode struct {
	Ref           string                `json:"$ref"`
	Enum          []any                 `json:"enum"`
	Properties    map[string]schemaNode `json:"properties"`
	PropertyNames *schemaNode           `json:"propertyNames"`
	Additional    json.RawMessage       `json:"additionalProperties"`
	Defs          map[string]schemaNode `json:"$defs"`
}

func readSchema(t *testing.T) (raw []byte, root schemaNode) {
	t.Helper()
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	mustUnmarshal(t, raw, &root)
	return raw, root
}

// schemaJudge says whether the schema accepts a document.
func schemaJudge(t *testing.T) func(document string) error {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiled, err := compiler.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return func(document string) error {
		var value any
		if err := yaml.Unmarshal([]byte(document), &value); err != nil {
			return err
		}
		return compiled.Validate(asJSON(value))
	}
}

// asJSON turns what YAML knows beyond JSON, such as dates, into something that is
// no string.
func asJSON(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = asJSON(v[key])
		}
		return v
	case []any:
		for i := range v {
			v[i] = asJSON(v[i])
		}
		return v
	case nil, string, bool, int, float64:
		return v
	}
	return 0
}

// TestSchemaAgrees holds the schema against ParseSettings: both accept, or both
// refuse.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	judge := schemaJudge(t)
	documents := map[bool][]string{true: goodSettings(), false: badSettings()}
	for good, list := range documents {
		for _, document := range list {
			_, parsed := module.ParseSettings([]byte(document))
			if (parsed == nil) != good {
				t.Errorf("ParseSettings of %q: %v", document, parsed)
			}
			if judged := judge(document); (judged == nil) != good {
				t.Errorf("the schema of %q: %v", document, judged)
			}
		}
	}
}

// TestSchemaAcceptsMore lists what a schema cannot say: the farm refuses these, and
// an editor does not.
func TestSchemaAcceptsMore(t *testing.T) {
	t.Parallel()
	judge := schemaJudge(t)
	for _, document := range []string{
		"timeouts: {build: 2h, total: 1h}", // compares two values
		"timeouts: {build: 0.1ns}",         // rounds to nothing
		"caches: [a, ./a]",                 // equal once cleaned
		"caches: [a/../..]", "caches: [a/..]",
	} {
		if _, err := module.ParseSettings([]byte(document)); err == nil {
			t.Errorf("ParseSettings accepts %q", document)
		}
		if err := judge(document); err != nil {
			t.Errorf("the schema refuses %q: move it to badSettings: %v", document, err)
		}
	}
}

func goodSettings() []string {
	return []string{
		"", "{}", "~", "# nothing", "publish: each", "publish: all", "publish:", "strategy:", "strategy: {}",
		"strategy: {linux/arm64: cross, linux/arm/v7: qemu, linux/amd64: auto, linux/arm32v6: native}",
		"strategy: {linux/arm64: }", "strategy: {linux/arm64: ''}", "strategy: {darwin/arm64: native, windows/amd64: native}",
		"timeouts: {setup: 90s, build: 1h30m, total: 2h}", "timeouts: {setup: 1.5h}", "timeouts: {build: .5h, total: }",
		"timeouts: {build: +1m}", "timeouts: {build: 10.s}", "timeouts: {setup: 100ms}",
		"network: {setup: registries, build: none}", "network: {setup: full}", "network:", "network: {build: }",
		"caches: []", "caches:", "caches: [node_modules, .cache/go/, a b, ..a, ./b]",
		"caches: [a/./b, ...]", "smoke: ./dist/main --version", "smoke: ''", "smoke:",
		"memory: 512MiB", "memory: 4GiB", "memory:",
		"# yaml-language-server: $schema=https://example.com/x.json\npublish: all",
	}
}

func badSettings() []string {
	return []string{
		"memory: 4GB", "memory: 1.5GiB", "memory: 0GiB", "memory: 4", "memory: 4 GiB", "publsh: all", "Publish: all", "publish: eech", "publish: All", "publish: 1", "publish: true", "publish: [all]", "publish: ''",
		"[]", "text", "7", "strategy: cross", "strategy: [cross]", "strategy: {linux/any: native}", "strategy: {any: cross}",
		"strategy: {linux/risc: qemu}", "strategy: {linux-arm64: cross}", "strategy: {linux/arm64: crss}", "strategy: {linux/arm64: 1}",
		"strategy: {linux/arm64: {}}", "strategy: {linux/arm/v7: qemu, linux/arm32v7: cross}",
		"strategy: {linux/arm64: qemu, linux/arm64/v8: cross}", "strategy: {linux/arm/v6: qemu, linux/arm32v6: cross}",
		"timeouts: 1h", "timeouts: {setup: 10}", "timeouts: {setup: 0}", "timeouts: {setup: 0s}", "timeouts: {build: soon}",
		"timeouts: {total: -1m}", "timeouts: {build: 1d}", "timeouts: {build: 1 h}", "timeouts: {deploy: 1h}", "timeouts: {setup: true}",
		"timeouts: {setup: [1h]}", "timeouts: {build: ''}", "timeouts: {build: .s}",
		"network: none", "network: {setup: off}", "network: {build: intranet}", "network: {deploy: full}", "network: {setup: [full]}",
		"caches: a", "caches: {}", "caches: [7]", "caches: [~]", "caches: [true]", "caches: ['']", "caches: [/root]", "caches: ['~/x']",
		"caches: ['\\x']", "caches: ['C:x']", "caches: [..]", "caches: [../x]", "caches: [./../x]", "caches: [.]", "caches: [./]",
		"caches: [a, a]", "caches: [\"a\\nb\"]", "caches: [[a]]",
		"smoke: true", "smoke: [a]", "smoke: {run: a}", "smoke: 2020-01-01", "smoke: 1.5",
		"snapshot: [setup.sh]",
	}
}

// TestSchemaKnowsEveryKey compares the names, both ways: those of the schema with
// those that a fault of the parser lists.
func TestSchemaKnowsEveryKey(t *testing.T) {
	t.Parallel()
	_, root := readSchema(t)
	for _, at := range []struct {
		document string
		node     schemaNode
	}{
		{"zzzzzzzzzz: 1", root},
		{"timeouts: {zzzzzzzzzz: 1}", root.Properties["timeouts"]},
		{"network: {zzzzzzzzzz: 1}", root.Properties["network"]},
	} {
		want := slices.Sorted(maps.Keys(at.node.Properties))
		if diff := cmp.Diff(want, listed(t, at.document)); diff != "" {
			t.Errorf("keys (-schema +parser) as listed for %q:\n%s", at.document, diff)
		}
		if string(at.node.Additional) != "false" {
			t.Errorf("%q: the schema lets unknown keys through", at.document)
		}
	}
}

// TestSchemaKnowsEveryValue compares the values of each choice in the same way.
func TestSchemaKnowsEveryValue(t *testing.T) {
	t.Parallel()
	_, root := readSchema(t)
	var strategy schemaNode
	mustUnmarshal(t, root.Properties["strategy"].Additional, &strategy)
	for document, node := range map[string]schemaNode{
		"publish: zzzzzzzzzz":                 root.Properties["publish"],
		"strategy: {linux/arm64: zzzzzzzzzz}": strategy,
		"network: {setup: zzzzzzzzzz}":        root.Defs["policy"],
		"network: {build: zzzzzzzzzz}":        root.Defs["policy"],
	} {
		if diff := cmp.Diff(texts(node.Enum), listed(t, document)); diff != "" {
			t.Errorf("values (-schema +parser) as listed for %q:\n%s", document, diff)
		}
	}
	var spellings []any
	for _, p := range module.Platforms() {
		if !p.IsWildcard() {
			spellings = append(spellings, p.String(), p.Container())
		}
	}
	want := slices.Compact(texts(append(spellings, "linux/arm64/v8")))
	if diff := cmp.Diff(texts(root.Properties["strategy"].PropertyNames.Enum), want); diff != "" {
		t.Errorf("platforms (-schema +parser):\n%s", diff)
	}
}

// texts are the strings among the values, sorted, without the empty one.
func texts(values []any) []string {
	var list []string
	for _, v := range values {
		if s, ok := v.(string); ok && s != "" {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return list
}

// listed returns the names that the one fault of a document advises to use, sorted.
func listed(t *testing.T, document string) []string {
	t.Helper()
	_, err := module.ParseSettings([]byte(document))
	var faults module.Faults
	if !errors.As(err, &faults) || len(faults) != 1 {
		t.Fatalf("%q: %v", document, err)
	}
	names, ok := strings.CutPrefix(faults[0].Advice, "use one of ")
	if !ok {
		t.Fatalf("%q: the advice lists nothing: %s", document, faults[0].Advice)
	}
	list := strings.Split(names, ", ")
	slices.Sort(list)
	return list
}

// TestSchemaIsDocumented: every key of the schema has a row in the table of
// docs/authors.md, and the table has no other.
func TestSchemaIsDocumented(t *testing.T) {
	t.Parallel()
	raw, root := readSchema(t)
	page, err := os.ReadFile(filepath.Join("..", "docs", "authors.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## modfarm.yaml\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z.]+)`").FindAllStringSubmatch(section, -1) {
		documented = append(documented, m[1])
	}
	var keys []string
	for name, node := range root.Properties {
		for _, below := range slices.Sorted(maps.Keys(node.Properties)) {
			keys = append(keys, name+"."+below)
		}
		if len(node.Properties) == 0 {
			keys = append(keys, name)
		}
	}
	slices.Sort(keys)
	slices.Sort(documented)
	if diff := cmp.Diff(keys, documented); diff != "" {
		t.Errorf("docs/authors.md (-schema +page):\n%s", diff)
	}
	var schema struct {
		ID string `json:"$id"`
	}
	mustUnmarshal(t, raw, &schema)
	if want := fmt.Sprintf("# yaml-language-server: $schema=%s", schema.ID); !strings.Contains(section, want) {
		t.Errorf("docs/authors.md does not show the line %q", want)
	}
}
