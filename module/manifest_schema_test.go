package module_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modfarm/modfarm/module"
)

// TestManifestSchema: the schema never refuses what the parser accepts, and both refuse these mistakes.
func TestManifestSchema(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(filepath.Join("schemas", "module.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	judge := func(text []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
	examples, err := filepath.Glob("../examples/*/meta.json")
	if err != nil || len(examples) < 3 {
		t.Fatalf("examples: %q, %v", examples, err)
	}
	good := []string{
		`{"module_id": "acme:widget", "visibility": "private"}`,
		`{"module_id": "acme:widget", "visibility": "public", "applications": null, "models": null, "build": null, "entrypoint": null, "mine": 1}`,
		`{"module_id": "00000000-0000-4000-8000-000000000000:w", "visibility": "public_unlisted", "build": {"arch": ["linux/arm/v7", "any"], "darwin_deps": []}}`,
	}
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		good = append(good, string(text))
	}
	for _, text := range good {
		if _, err := module.ParseManifest([]byte(text)); err != nil {
			t.Errorf("the parser refuses %s: %v", text, err)
		}
		if err := judge([]byte(text)); err != nil {
			t.Errorf("the schema refuses %s: %v", text, err)
		}
	}
	for _, text := range []string{
		`[]`, `{}`, `{"module_id": "widget", "visibility": "private"}`, `{"module_id": "acme:widget"}`,
		`{"module_id": "acme:widget", "visibility": "secret"}`,
		`{"module_id": "acme:widget", "visibility": "private", "models": {}}`,
		`{"module_id": "acme:widget", "visibility": "private", "models": [{"api": "rdk:sensor", "model": "acme:a:b"}]}`,
		`{"module_id": "acme:widget", "visibility": "private", "models": [{"api": "rdk:thing:sensor", "model": "acme:a:b"}]}`,
		`{"module_id": "acme:widget", "visibility": "private", "models": [{"api": "rdk:component:sensor", "model": "rdk:a:b"}]}`,
		`{"module_id": "acme:widget", "visibility": "private", "build": {"arch": ["linux/risc"]}}`,
		`{"module_id": "acme:widget", "visibility": "private", "entrypoint": 1}`,
	} {
		if _, err := module.ParseManifest([]byte(text)); err == nil {
			t.Errorf("the parser accepts %s", text)
		}
		if judge([]byte(text)) == nil {
			t.Errorf("the schema accepts %s", text)
		}
	}
	if !bytes.Contains(module.ManifestSchema(), []byte(`"title": "meta.json"`)) {
		t.Error("the schema is not part of the program")
	}
}
