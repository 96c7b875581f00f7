package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"modfarm": func() { os.Exit(run()) }})
}

// TestScripts runs the program as its users do; see testdata/*.txtar.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// What a script needs it sets itself: nothing of the developer's own.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DOCKER_HOST", os.Getenv("DOCKER_HOST"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode": exitCode,
		},
	})
}

// exitCode runs a command and compares its exit status: exitcode 2 modfarm …
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode STATUS COMMAND…")
	}
	want := args[0]
	err := ts.Exec("bash", append([]string{"-c", `"$@"; status=$?; [ $status = "$0" ] || { echo "exit status $status" >&2; exit 99; }`}, append([]string{want}, args[1:]...)...)...)
	if err != nil {
		ts.Fatalf("exit status is not %s: %v\n%s", want, err, ts.ReadFile("stderr"))
	}
}
