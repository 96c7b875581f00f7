package e2e_test

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
	"github.com/modfarm/modfarm/workers/images"
)

// sqliteModule uses a database that is written in C. Without cgo it compiles all
// the same, and fails when it is started.
func sqliteModule() map[string]string {
	return map[string]string{
		"go.mod": "module example.com/acme/cgo-silent\n\ngo 1.22\n\nrequire github.com/mattn/go-sqlite3 v1.14.24\n",
		"go.sum": "github.com/mattn/go-sqlite3 v1.14.24 h1:tpSp2G2KyMnnQu99ngJ47EIkWVmliIizyZBfPrBWDRM=\n" +
			"github.com/mattn/go-sqlite3 v1.14.24/go.mod h1:Uh1q+B4BYcTPb+yiD3kU8Ct7aC0hY9fxUwlHK0RXw+Y=\n",
		"main.go": `package main

import (
	"database/sql"
	"fmt"

	_ "github.com/mattn/go-sqlite3"
)

func main() {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		panic(err)
	}
	var sum int
	if err := db.QueryRow("select 40 + 2").Scan(&sum); err != nil {
		panic(err)
	}
	fmt.Println("the database says", sum)
}
`,
		// Not optimized: the compiler's time is not what is tested.
		"build.sh": "#!/bin/bash\nset -e\nCGO_CFLAGS='-O0 -g0' go build -o dist/main .\n",
	}
}

// cgoSilentlyOff builds for another processor a Go module that compiles without
// cgo into a program that does not work, and starts what was published.
func cgoSilentlyOff(t *testing.T, y *yard) {
	t.Helper()
	const name = "cgo-silent"
	arm := module.Platform{OS: "linux", Arch: "arm64"}
	y.run(t, badCase{
		name: name, files: sqliteModule(), want: client.JobPublished,
		ask: func(_ *yard, r *client.BuildRequest) { r.Platforms = []module.Platform{arm} },
		after: func(t *testing.T, y *yard, b client.Build, log string) {
			t.Helper()
			if s := b.Jobs[0].Strategy; s != module.StrategyCross || !strings.Contains(log, "go-sqlite3") {
				t.Errorf("built by the strategy %q, want a cross build that says why cgo is on; its log:\n%s", s, end(log))
			}
			dir := t.TempDir()
			if err := archive.Extract(t.Context(), bytes.NewReader(downloadFor(t, y, b, arm)), dir, archive.Limits{}); err != nil {
				t.Fatal(err)
			}
			if out := startIn(t, arm, dir, "main"); !strings.Contains(out, "the database says 42") {
				t.Errorf("the published program does not work:\n%s", out)
			}
		},
	})
}

// startIn runs a program of an unpacked archive in the run image of its platform.
func startIn(t *testing.T, p module.Platform, dir, program string) string {
	t.Helper()
	recipe, err := images.Run(p, images.DefaultDistro)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", "run", "--rm", "--pull=never", "--network=none", "--platform", p.Container(),
		"--volume", dir+":/module:ro", recipe.Ref(), filepath.Join("/module", program))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("start %s: %v", program, err)
	}
	return string(out)
}
