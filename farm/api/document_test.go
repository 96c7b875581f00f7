package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/modfarm/modfarm/farm/api/apitest"
)

// document is docs/api.md, and its examples in order.
func document(t *testing.T) (text string, examples []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	text = string(data)
	for _, part := range strings.Split(text, "```curl\n")[1:] {
		example, _, found := strings.Cut(part, "\n```")
		if !found {
			t.Fatalf("an example does not end: %.80s", part)
		}
		examples = append(examples, example)
	}
	return text, examples
}

// TestDocumentedExamples runs every example of docs/api.md, in order, by bash and curl against a farm.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	f := apitest.Start(t)
	f.Source.Push("https://git.example.com/acme/widget", "v2.0.0", strings.Repeat("2", 40),
		`{"module_id":"acme:widget","visibility":"private","entrypoint":"run.sh","build":{"build":"make"}}`)
	_, examples := document(t)
	script := "set -euo pipefail\n"
	for _, example := range examples {
		script += "cat >&2 <<'EXAMPLE'\n--- " + example + "\nEXAMPLE\n" + example + "\n"
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "FARM="+f.URL, "KEY_ID="+f.KeyID, "KEY="+f.Key, "ORG="+f.Org.ID, "WORKER_TOKEN="+apitest.WorkerToken)
	out, err := cmd.CombinedOutput()
	if err != nil {
		shown := string(out)
		if i := strings.LastIndex(shown, "\n--- "); i > 0 {
			shown = shown[i:]
		}
		t.Errorf("%v in:\n%s", err, shown)
	}
}

// TestEverythingIsDocumented holds that docs/api.md has an example of each RPC, or says that it is not there.
func TestEverythingIsDocumented(t *testing.T) {
	t.Parallel()
	text, examples := document(t)
	all := strings.Join(examples, "\n")
	_, absent, _ := strings.Cut(text, "## Not there yet")
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			name := string(service.FullName())
			if !strings.HasPrefix(name, "viam.") && !strings.HasPrefix(name, "modfarm.") && !strings.HasPrefix(name, "proto.rpc.v1.") {
				continue
			}
			for j := range service.Methods().Len() {
				method := string(service.Methods().Get(j).Name())
				if !strings.Contains(all, "/"+name+"/"+method+`"`) && !strings.Contains(absent, "`"+method+"`") {
					t.Errorf("docs/api.md has no example of /%s/%s", name, method)
				}
			}
		}
		return true
	})
}
