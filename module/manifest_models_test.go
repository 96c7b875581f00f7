package module_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
)

var (
	indoor  = module.Served{API: "rdk:component:sensor", Model: "acme:weather:indoor"}
	outdoor = module.Served{API: "rdk:component:sensor", Model: "acme:weather:outdoor"}
	mapper  = module.Served{API: "rdk:service:slam", Model: "acme:weather:map"}
)

func TestReplaceModels(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in     string
		served []module.Served
		want   string
	}{
		"kept as written, one gone, one new": {
			"{\n\t\"zzz\": {\"a\":1.0e3},\n\t\"models\": [\n\t\t{\"model\": \"acme:weather:indoor\", \"api\": \"rdk:component:sensor\", \"markdown_link\": \"README.md#in\", \"own\": [1,2]},\n\t\t{\"api\": \"x:component:y\", \"model\": \"a:b:c\"}\n\t],\n\t\"module_id\":   \"acme:weather\"\n}\n",
			[]module.Served{mapper, indoor},
			"{\n\t\"zzz\": {\"a\":1.0e3},\n\t\"models\": [\n\t\t{\"model\": \"acme:weather:indoor\", \"api\": \"rdk:component:sensor\", \"markdown_link\": \"README.md#in\", \"own\": [1,2]},\n\t\t{\"api\": \"rdk:service:slam\", \"model\": \"acme:weather:map\"}\n\t],\n\t\"module_id\":   \"acme:weather\"\n}\n",
		},
		"elements on lines": {
			"{\r\n    \"models\": [\r\n        {\r\n            \"api\": \"rdk:component:sensor\",\r\n            \"model\": \"acme:weather:indoor\"\r\n        }\r\n    ]\r\n}",
			[]module.Served{outdoor, indoor},
			"{\r\n    \"models\": [\r\n        {\r\n            \"api\": \"rdk:component:sensor\",\r\n            \"model\": \"acme:weather:indoor\"\r\n        },\r\n        {\r\n            \"api\": \"rdk:component:sensor\",\r\n            \"model\": \"acme:weather:outdoor\"\r\n        }\r\n    ]\r\n}",
		},
		"absent": {
			"{\n  \"module_id\": \"acme:weather\",\n  \"description\": \"x\",\n  \"entrypoint\": \"run\"\n}\n",
			[]module.Served{indoor},
			"{\n  \"module_id\": \"acme:weather\",\n  \"description\": \"x\",\n  \"models\": [\n    {\n      \"api\": \"rdk:component:sensor\",\n      \"model\": \"acme:weather:indoor\"\n    }\n  ],\n  \"entrypoint\": \"run\"\n}\n",
		},
		"null": {
			"{\n  \"models\": null\n}\n",
			[]module.Served{indoor},
			"{\n  \"models\": [\n    {\n      \"api\": \"rdk:component:sensor\",\n      \"model\": \"acme:weather:indoor\"\n    }\n  ]\n}\n",
		},
		"on one line": {
			`{"module_id":"a:b","models":[{"api":"rdk:component:sensor","model":"acme:weather:indoor"}]}`,
			[]module.Served{outdoor, indoor},
			`{"module_id":"a:b","models":[{"api":"rdk:component:sensor","model":"acme:weather:indoor"},{"api":"rdk:component:sensor","model":"acme:weather:outdoor"}]}`,
		},
		"absent on one line":    {`{"entrypoint": "run"}`, []module.Served{indoor}, `{"entrypoint": "run", "models": [{"api": "rdk:component:sensor", "model": "acme:weather:indoor"}]}`},
		"nothing there":         {`{}`, []module.Served{indoor}, `{"models": [{"api": "rdk:component:sensor", "model": "acme:weather:indoor"}]}`},
		"none served":           {`{"models": [ {"api": "rdk:component:sensor", "model": "acme:weather:indoor"} ], "x": 1}`, nil, `{"models": [], "x": 1}`},
		"the same":              {"{ \"models\" :[ {\"model\":\"acme:weather:indoor\" ,\"api\":\"rdk:component:sensor\"} ]\n\n}", []module.Served{indoor, indoor}, "{ \"models\" :[ {\"model\":\"acme:weather:indoor\" ,\"api\":\"rdk:component:sensor\"} ]\n\n}"},
		"a key in another case": {`{"Models": []}`, []module.Served{indoor}, `{"Models": [{"api": "rdk:component:sensor", "model": "acme:weather:indoor"}]}`},
		"a repeated entry": {
			`{"models": [{"api": "rdk:service:slam", "model": "acme:weather:map"}, {"api": "rdk:service:slam", "model": "acme:weather:map"}]}`,
			[]module.Served{mapper},
			`{"models": [{"api": "rdk:service:slam", "model": "acme:weather:map"}]}`,
		},
	} {
		got, err := module.ReplaceModels([]byte(tt.in), tt.served)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, in := range []string{"", "[]", `{"models": {}}`, `{"models": [}`, "{} {}"} {
		if got, err := module.ReplaceModels([]byte(in), nil); !errors.Is(err, module.ErrInvalid) || got != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func FuzzReplaceModels(f *testing.F) {
	f.Add(`{"a": 1, "models": [{"api":"rdk:component:sensor","model":"acme:weather:indoor"}], "b": null}`, 1)
	f.Add("{\n  \"description\": \"\\u00fc\",\n\"x\":[]}", 3)
	f.Add("{\t}", 2)
	f.Fuzz(func(t *testing.T, in string, some int) {
		var served []module.Served
		for i, s := range []module.Served{indoor, outdoor, mapper} {
			if some>>i&1 == 1 {
				served = append(served, s)
			}
		}
		out, err := module.ReplaceModels([]byte(in), served)
		if err != nil {
			if !errors.Is(err, module.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		var before, after map[string]any
		if json.Unmarshal([]byte(in), &before) != nil || json.Unmarshal(out, &after) != nil {
			t.Fatalf("%q became %q", in, out)
		}
		// Everything but the models is what it was; which of several spellings of that key wins is the reader's affair.
		for _, values := range []map[string]any{before, after} {
			for key := range values {
				if strings.EqualFold(key, "models") {
					delete(values, key)
				}
			}
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q", in, out)
		}
		again, err := module.ReplaceModels(out, served)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("not settled: %q became %q, %v", out, again, err)
		}
	})
}
