package module

import _ "embed" // the schema is part of the program

//go:embed schemas/module.schema.json
var manifestSchema []byte

// ManifestSchema is the JSON Schema of meta.json, with descriptions for editors. What
// ParseManifest accepts it accepts; ParseManifest refuses more.
func ManifestSchema() []byte { return append([]byte(nil), manifestSchema...) }
