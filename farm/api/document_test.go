package api_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/farm/github/githubtest"
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

// recorder stands before curl in the PATH: it calls the real one, and leaves the status and the answer of an example's
// last call in the folder ANSWERS.
const recorder = `#!/bin/bash
set -o pipefail
into= previous=
for word; do
  if [ "$previous" = -o ]; then into=$word; fi
  previous=$word
done
"$REAL_CURL" -D "$ANSWERS/$EXAMPLE.head" "$@" | tee "$ANSWERS/$EXAMPLE.body"
status=$?
if [ -n "$into" ]; then cp "$into" "$ANSWERS/$EXAMPLE.body"; fi
exit $status
`

// TestDocumentedExamples runs every example of docs/api.md, in order, by bash and curl against a farm, and looks at
// each answer.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	hub := githubtest.Start(t)
	f := apitest.StartWith(t, apitest.Options{Issuers: []string{hub.Issuer()}})
	repo := hub.NewRepo("acme", "widget", false)
	repo.Commit(map[string]string{"meta.json": "{}"})
	repo.Tag(false, "v3.0.0")
	idToken := hub.IDToken(repo, "refs/tags/v3.0.0", apitest.Audience, nil)
	f.Source.Push("https://git.example.com/acme/widget", "v2.0.0", strings.Repeat("2", 40),
		`{"module_id":"acme:widget","visibility":"private","entrypoint":"run.sh","build":{"build":"make"}}`)
	program, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	programs, answers := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "curl"), []byte(recorder), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	_, examples := document(t)
	script := "set -euo pipefail\n"
	for i, example := range examples {
		script += fmt.Sprintf("cat >&2 <<'EXAMPLE'\n--- %s\nEXAMPLE\nexport EXAMPLE=%d\n%s\n", example, i, example)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "FARM="+f.URL, "KEY_ID="+f.KeyID, "KEY="+f.Key, "ORG="+f.Org.ID, "WORKER_TOKEN="+apitest.WorkerToken,
		"PATH="+programs+":"+os.Getenv("PATH"), "REAL_CURL="+program, "ANSWERS="+answers,
		"REPOSITORY="+repo.CloneURL(), "ID_TOKEN="+idToken)
	out, err := cmd.CombinedOutput()
	if err != nil {
		shown := string(out)
		if i := strings.LastIndex(shown, "\n--- "); i > 0 {
			shown = shown[i:]
		}
		t.Fatalf("%v in:\n%s", err, shown)
	}
	unseen := documentedAnswers()
	for i, example := range examples {
		if strings.Contains(example, `"$FARM/`) {
			checkAnswer(t, example, filepath.Join(answers, strconv.Itoa(i)))
			delete(unseen, calledBy(example))
		}
	}
	for called := range unseen {
		t.Errorf("docs/api.md has no example of %s, whose answer is expected", called)
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
