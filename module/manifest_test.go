package module_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
)

const fullManifest = `{
  "$schema": "https://dl.viam.dev/module.schema.json",
  "module_id": "acme:widget",
  "visibility": "public",
  "url": "https://github.com/acme/widget",
  "description": "Measures & reports",
  "models": [
    {
      "api": "rdk:component:sensor",
      "model": "acme:weather:indoor",
      "short_description": "temperature",
      "description": "a longer text",
      "markdown_link": "README.md#indoor",
      "future": [1, 2]
    }
  ],
  "applications": [
    {
      "name": "panel", "type": "single_machine", "entrypoint": "app/index.html",
      "fragmentIds": ["f1"], "allowedOrgIds": [], "logoPath": "app/logo.png",
      "customizations": {"machinePicker": {"heading": "h", "subheading": "s", "x": 1}, "y": {}},
      "z": null
    }
  ],
  "markdown_link": "docs/README.md",
  "entrypoint": "dist/main",
  "first_run": "first.sh",
  "build": {
    "setup": "./setup.sh", "build": "make", "path": "dist/archive.tar.gz",
    "arch": ["linux/arm64", "linux/arm32v7", "any"], "distro": "bullseye", "darwin_deps": [], "later": true
  },
  "com.example": {"kept": [true, null]}
}`

func TestParseManifestReadsEveryKey(t *testing.T) {
	t.Parallel()
	got, err := module.ParseManifest([]byte(fullManifest))
	if err != nil {
		t.Fatal(err)
	}
	raw := func(key, value string) map[string]json.RawMessage {
		return map[string]json.RawMessage{key: json.RawMessage(value)}
	}
	want := &module.Manifest{
		Schema: "https://dl.viam.dev/module.schema.json", ID: module.ID{Namespace: "acme", Name: "widget"},
		Visibility: module.VisibilityPublic, URL: "https://github.com/acme/widget", Description: "Measures & reports",
		Models: []module.Model{{
			API: "rdk:component:sensor", Model: "acme:weather:indoor", ShortDescription: "temperature",
			Description: "a longer text", MarkdownLink: "README.md#indoor", Unknown: raw("future", "[1, 2]"),
		}},
		ModelsPresent: true,
		Applications: []module.Application{{
			Name: "panel", Type: module.ApplicationSingleMachine, Entrypoint: "app/index.html",
			FragmentIDs: []string{"f1"}, AllowedOrgIDs: []string{}, LogoPath: "app/logo.png",
			MachinePickerHeading: "h", MachinePickerSubheading: "s",
			UnknownMachinePicker: raw("x", "1"), UnknownCustomizations: raw("y", "{}"), Unknown: raw("z", "null"),
		}},
		MarkdownLink: "docs/README.md", Entrypoint: "dist/main", FirstRun: "first.sh",
		Build: module.BuildSpec{
			Setup: "./setup.sh", Build: "make", Path: "dist/archive.tar.gz",
			Arch:   []module.Platform{{OS: "linux", Arch: "arm64"}, {OS: "linux", Arch: "arm32v7"}, {OS: "any", Arch: "any"}},
			Distro: "bullseye", DarwinDeps: []string{}, Unknown: raw("later", "true"),
		},
		Unknown: raw("com.example", `{"kept": [true, null]}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseManifest (-want +got):\n%s", diff)
	}
}

func TestManifestRoundTrips(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"full":    fullManifest,
		"created": `{"$schema":"s","module_id":"acme:widget","visibility":"private","url":"","description":"","applications":null,"entrypoint":"","first_run":""}`,
		"models":  `{"module_id":"acme:widget","visibility":"private","url":"","description":"","models":[],"applications":[],"entrypoint":"","first_run":""}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := module.ParseManifest([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			printed, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var before, after any
			mustUnmarshal(t, []byte(text), &before)
			mustUnmarshal(t, printed, &after)
			if name == "models" { // an empty list and null say the same
				before.(map[string]any)["applications"] = nil
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("meta.json changed (-read +written):\n%s", diff)
			}
		})
	}
}

func mustUnmarshal(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

func TestManifestDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"module_id":"acme:widget","visibility":"private"}`,
		`{"MODULE_ID":"acme:widget","Visibility":"private","applications":null,"build":{"arch":[],"path":""}}`,
		`{"module_id":"gone:gone","Module_Id":"acme:widget","visibility":"private","build":null,"models":null}`,
	} {
		m, err := module.ParseManifest([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if m.ID.String() != "acme:widget" || m.ModelsPresent || m.Applications != nil {
			t.Errorf("%s: read as %+v", text, m)
		}
		want := module.BuildSpec{Path: "module.tar.gz", Arch: module.DefaultArch(), Distro: "bookworm"}
		if diff := cmp.Diff(want, m.Build); diff != "" {
			t.Errorf("%s: build (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseManifestListsAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	const text = `{
  "module_id": "acme/widget",
  "visibility": "publc",
  "url": 7,
  "models": [
    {"api": "rdk:componant:sensor", "model": "weather"},
    null,
    {"api": "sensor", "model": "rdk:weather:indoor", "short_description": "` + "LONG" + `"},
    []
  ],
  "applications": [{"name": "", "type": "single", "entrypoint": "../x.html", "fragmentIds": "f"}],
  "entrypoint": "/dist/main",
  "first_run": "../first.sh",
  "build": {
    "build": ["make"],
    "path": null,
    "arch": ["linux/amd64",
      "linux/risc", "linux/x86_64", 3, null, "linux/arm"],
    "distro": "Debian 12",
    "darwin_deps": "go"
  }
}`
	_, err := module.ParseManifest([]byte(strings.Replace(text, "LONG", strings.Repeat("é", 101), 1)))
	var faults module.Faults
	if !errors.As(err, &faults) || !errors.Is(err, module.ErrInvalid) {
		t.Fatalf("error is %T: %v", err, err)
	}
	want := []string{
		`line 2: module_id: "acme/widget": not a module id; write namespace:name, such as acme:widget`,
		`line 3: visibility: "publc": not a visibility; did you mean public?`,
		`line 4: url: "7": is a number, not a string; write it within quotes`,
		`line 6: models[0].api: "rdk:componant:sensor": has the type "componant"; write component or service between the colons`,
		`line 6: models[0].model: "weather": is not three names joined by colons; write it like acme:weather:indoor`,
		`line 7: models[1]: "null": is null, not an object; remove it`,
		`line 8: models[2].api: "sensor": is not three names joined by colons; write it like rdk:component:sensor`,
		`line 8: models[2].model: "rdk": is a reserved namespace; use your own`,
		`line 8: models[2].short_description: "` + strings.Repeat("é", 60) + `…": has 101 characters; use at most 100 and move the rest into the file of markdown_link`,
		`line 9: models[3]: "[]": is a list, not an object; write it within braces`,
		`line 11: applications[0].name: is missing; name the application`,
		`line 11: applications[0].type: "single": not a type of application; use one of single_machine, multi_machine`,
		`line 11: applications[0].entrypoint: "../x.html": leads out of the archive; write it relative to the root of the archive`,
		`line 11: applications[0].fragmentIds: "\"f\"": is a string, not a list; write it within brackets`,
		`line 12: entrypoint: "/dist/main": is absolute; write it relative to the root of the archive`,
		`line 13: first_run: "../first.sh": leads out of the archive; write it relative to the root of the archive`,
		`line 15: build.build: "[\"make\"]": is a list, not a string; write a string`,
		`line 18: build.arch[1]: "linux/risc": not a platform; use one of linux/amd64, linux/arm64, linux/arm32v7, linux/arm32v6, darwin/amd64, darwin/arm64, windows/amd64, linux/any, darwin/any, any/amd64, any/arm64, any`,
		`line 18: build.arch[2]: "linux/x86_64": not a platform; write linux/amd64`,
		`line 18: build.arch[3]: "3": is a number, not a string; write it within quotes`,
		`line 18: build.arch[4]: "null": is null, not a string; remove it`,
		`line 18: build.arch[5]: "linux/arm": not a platform; write linux/arm32v7 or linux/arm32v6`,
		`line 19: build.distro: "Debian 12": is not the name of a Debian release; write its code name in small letters, such as bookworm`,
		`line 20: build.darwin_deps: "\"go\"": is a string, not a list; write it within brackets`,
	}
	if diff := cmp.Diff(want, strings.Split(faults.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestParseManifestSingleFaults(t *testing.T) {
	t.Parallel()
	const head = `{"module_id":"acme:widget","visibility":"private",`
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "  \n", "the file is empty"},
		{"list", "[]", `line 1: "[]": is a list, not an object; write it within braces`},
		{"trailing comma", "{\n  \"a\": 1,\n}", "line 3: broken JSON at 3:1: invalid character '}' looking for beginning of object key string; remove the comma before it"},
		{"comment", "{\n  // hello\n}", "line 2: broken JSON at 2:3"},
		{"missing comma", "{\"a\": 1\n \"b\": 2}", "line 2: broken JSON at 2:2: invalid character '\"' after object key:value pair; write a comma between the values"},
		{"cut off", "{\n\"a\": [1", "close every brace, bracket and quote"},
		{"two values", "{} {}", "broken JSON at 1:4"},
		{"byte order mark", "\xef\xbb\xbf{}", "byte order mark"},
		{"too large", `{"x":"` + strings.Repeat("a", module.MaxManifestSize) + `"}`, "keep it under 1048576"},
		{"missing id", `{"visibility":"private"}`, "module_id: is missing; write namespace:name"},
		{"null id", `{"module_id":null,"visibility":"private"}`, "line 1: module_id: is missing"},
		{"missing visibility", `{"module_id":"a:b"}`, "visibility: is missing; write private"},
		{"long name", `{"module_id":"a:` + strings.Repeat("b", 201) + `","visibility":"private"}`, "the module name has 201 characters; use at most 200"},
		{"bad name", `{"module_id":"a:-b","visibility":"private"}`, `"-b": not a module name; use letters`},
		{"empty name", `{"module_id":"a:","visibility":"private"}`, "the module name is empty"},
		{"foreign model", head + `"models":[{"api":"rdk:component:sensor","model":"other:x:y"}]}`, `models[0].model: "other": is not the namespace of module_id; begin the model with acme:`},
		{"missing model", head + `"models":[{"api":"rdk:component:sensor"}]}`, "models[0].model: is missing; write three parts"},
		{"model twice", head + `"models":[{"api":"rdk:component:sensor","model":"acme:x:y"},{"api":"rdk:component:sensor","model":"acme:x:y"}]}`, `models[1]: "acme:x:y": is listed before, at models[0]`},
		{"windows path", head + `"entrypoint":"C:\\x"}`, `entrypoint: "C:\\x": is absolute`},
		{"home", head + `"entrypoint":"~/x"}`, "nothing expands"},
		{"control", head + `"entrypoint":"a\u0000b"}`, "has a control character"},
		{"root", head + `"entrypoint":"./"}`, "is the archive itself"},
		{"build is a string", head + `"build":"make"}`, "build: \"\\\"make\\\"\": is a string, not an object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, err := module.ParseManifest([]byte(tc.text))
			if err == nil {
				t.Fatalf("accepted as %+v", m)
			}
			if !strings.Contains(err.Error(), tc.want) || !errors.Is(err, module.ErrInvalid) {
				t.Errorf("error is\n%v\nwant in it\n%s", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one fault:\n%v", err)
			}
		})
	}
}

func TestUUIDNamespaceAllowsAnyModelNamespace(t *testing.T) {
	t.Parallel()
	m, err := module.ParseManifest([]byte(`{"module_id":"9f4a1b0e-5b7d-4c39-9a63-0123456789ab:widget","visibility":"private",
		"models":[{"api":"rdk:service:vision","model":"acme:x:y"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if !m.ID.HasOrganizationUUID() {
		t.Error("the UUID is not seen as one")
	}
}

func TestCheckBuild(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		edit func(*module.Manifest)
		want string
	}{
		{"good", func(*module.Manifest) {}, ""},
		{"workdir", func(m *module.Manifest) { m.Build.Path = "." }, ""},
		{"no entrypoint", func(m *module.Manifest) { m.Entrypoint = "" }, "entrypoint: is empty; name the program"},
		{"no command", func(m *module.Manifest) { m.Build.Build = "" }, "build.build: is empty; write the command"},
		{"absolute path", func(m *module.Manifest) { m.Build.Path = "/tmp/x" }, `build.path: "/tmp/x": is absolute`},
		{"climbing path", func(m *module.Manifest) { m.Build.Path = "a/../../x" }, `build.path: "a/../../x": leads out of the repository's workdir`},
		{"wildcard", func(m *module.Manifest) {
			m.Build.Arch = append(m.Build.Arch, module.Platform{OS: "linux", Arch: "any"})
		}, `build.arch[2]: "linux/any": is a wildcard`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, err := module.ParseManifest([]byte(`{"module_id":"a:b","visibility":"private","entrypoint":"run.sh","build":{"build":"make"}}`))
			if err != nil {
				t.Fatal(err)
			}
			tc.edit(m)
			got := ""
			if err := m.CheckBuild(); err != nil {
				got = err.Error()
			}
			if (tc.want == "") != (got == "") || !strings.HasPrefix(got, tc.want) {
				t.Errorf("CheckBuild: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	m, err := module.ParseManifest([]byte(`{"module_id":"a:b","visibility":"private","url":"github.com/a/b","entrypiont":"x",
		"models":[{"api":"rdk:component:sensor","model":"a:x:y","description":"long"}],"build":{"pth":"x","own":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"description: is empty; say in a sentence what the module does",
		`url: "github.com/a/b": is not a web address; write https://…`,
		`models[0].description: "long": is ignored by the stock command line; name it short_description`,
		"build.pth: is not a known key; did you mean path?",
		"entrypiont: is not a known key; did you mean entrypoint?",
	}
	if diff := cmp.Diff(want, strings.Split(m.Hints().Error(), "\n")); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(fullManifest))
	f.Add([]byte(`{"module_id":"a:b","visibility":"private","applications":null,"models":[{}],"build":{"arch":[null]}}`))
	f.Add([]byte("{\n\"a\": 1,\n}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := module.ParseManifest(data)
		if err != nil {
			if m != nil || err.Error() == "" || !errors.Is(err, module.ErrInvalid) {
				t.Fatalf("bad failure: %v, %T %v", m, err, err)
			}
			return
		}
		printed, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := module.ParseManifest(printed)
		if err != nil {
			t.Fatalf("%s\nreads as\n%s\nwhich is refused: %v", data, printed, err)
		}
		twice, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if string(printed) != string(twice) {
			t.Fatalf("not stable:\n%s\n%s", printed, twice)
		}
	})
}
