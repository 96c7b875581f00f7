package main

import (
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/api/apitest"
	"github.com/modfarm/modfarm/module"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"modfarm": func() { os.Exit(run()) }, "weather": weather})
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
			env.Values[farmOf{}] = &farmOf{}
			env.Values[handKey] = &hand{leases: map[string]*held{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode": wantExit,
			"farm":     func(ts *testscript.TestScript, _ bool, _ []string) { startFarm(t, ts) },
			"restart":  func(ts *testscript.TestScript, _ bool, _ []string) { ts.Value(farmOf{}).(*farmOf).Restart(t) }, //nolint:forcetypeassert // set up above
			"push":     func(ts *testscript.TestScript, _ bool, args []string) { push(ts, args) },
			"collect":  func(ts *testscript.TestScript, _ bool, _ []string) { collect(t, ts) },
			"worker":   func(ts *testscript.TestScript, _ bool, args []string) { work(t, ts, args) },
			"publish":  func(ts *testscript.TestScript, _ bool, args []string) { publish(t, ts, args) },
			"fetch":    func(ts *testscript.TestScript, _ bool, args []string) { fetch(t, ts, args) },
		},
	})
}

// startFarm starts a farm of the script's own: its address and the first key are in $FARM, $KEY_ID and
// $KEY, and in the file api-key.env. Nobody is logged in.
func startFarm(t *testing.T, ts *testscript.TestScript) {
	t.Helper()
	f := apitest.Start(t)
	ts.Setenv("FARM", f.URL)
	ts.Value(farmOf{}).(*farmOf).Farm = f //nolint:forcetypeassert // set up above
	ts.Setenv("KEY_ID", f.KeyID)
	ts.Setenv("KEY", f.Key)
	text := fmt.Sprintf("# the first key\nMODFARM_URL=%s\nMODFARM_KEY_ID=%s\nMODFARM_KEY=%s\n", f.URL, f.KeyID, f.Key)
	ts.Check(os.WriteFile(ts.MkAbs("api-key.env"), []byte(text), 0o600))
}

// farmOf is the farm that a script started.
type farmOf struct{ *apitest.Farm }

// publish makes an upload public on the script's farm: publish acme:widget 1.0.0 linux/arm64 [TAG…]
func publish(t *testing.T, ts *testscript.TestScript, args []string) {
	t.Helper()
	if len(args) < 3 {
		ts.Fatalf("usage: publish MODULE VERSION PLATFORM [TAG…]")
	}
	id, err := module.ParseID(args[0])
	ts.Check(err)
	ts.Value(farmOf{}).(*farmOf).Publish(t, id, args[1], args[2], args[3:]...) //nolint:forcetypeassert // set up above
}

// fetch downloads with the key of a machine: fetch acme:widget 1.0.0 linux/arm64
func fetch(t *testing.T, ts *testscript.TestScript, args []string) {
	t.Helper()
	if len(args) != 3 {
		ts.Fatalf("usage: fetch MODULE VERSION PLATFORM")
	}
	f := ts.Value(farmOf{}).(*farmOf).Farm //nolint:forcetypeassert // set up above
	id, err := module.ParseID(args[0])
	ts.Check(err)
	version, err := module.ParseVersion(args[1])
	ts.Check(err)
	platform, err := module.ParsePlatform(args[2])
	ts.Check(err)
	key, secret, err := f.Accounts.CreateKey(t.Context(), f.Org.ID, account.KeySpec{Name: "the machine", Role: account.RoleMachine})
	ts.Check(err)
	c, err := client.New(client.Config{URL: f.URL, KeyID: key.ID, Key: secret})
	ts.Check(err)
	pkg, err := c.Package(t.Context(), id, version, platform)
	ts.Check(err)
	ts.Check(c.Download(t.Context(), io.Discard, pkg, nil))
}

// wantExit runs a command and compares its exit status: exitcode 2 modfarm …
func wantExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode STATUS COMMAND…")
	}
	want := args[0]
	err := ts.Exec("bash", append([]string{"-c", `"$@"; status=$?; [ $status = "$0" ] || { echo "exit status $status" >&2; exit 99; }`}, append([]string{want}, args[1:]...)...)...)
	if err != nil {
		ts.Fatalf("exit status is not %s: %v\n%s", want, err, ts.ReadFile("stderr"))
	}
}
