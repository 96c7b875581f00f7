package workers_test

import (
	"strings"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers/docker"
)

// TestCaches builds one module over and over. What a build keeps is found by the next of its kind: releases by
// releases, everything else by everything else, and nothing by a build without caches, whose archive is the same.
func TestCaches(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds in containers")
	}
	w := inDocker(t, docker.Limits{Memory: 2 << 30})
	w.start()
	const folder = "it's kept"
	spec := module.BuildSpec{
		Setup: `printf 'Package: x\n' > /var/cache/apt/archives/x_1_all.deb`,
		Build: `if [ -e "` + folder + `/before" ]; then echo FOUND-FOLDER; fi; ls $GOCACHE/mark $CCACHE_DIR/mark && echo FOUND-GO
			mkdir -p "` + folder + `" $GOCACHE $CCACHE_DIR; touch "` + folder + `/before" $GOCACHE/mark $CCACHE_DIR/mark; mkdir out && cp run.sh out/`,
	}
	files := map[string]string{"run.sh": "#!/bin/sh\n"}
	commit := "" // of all: the archive has its time
	build := func(change func(*client.Assignment)) (log, archive string) {
		t.Helper()
		id := w.submitAlone(files, spec, func(a *client.Assignment) {
			settings := *module.DefaultSettings()
			settings.Caches = []string{folder}
			a.Settings = &settings
			a.Build.Ref = "main"
			if commit == "" {
				commit = a.Build.Commit
			}
			a.Build.Commit = commit
			a.Manifest.Build.Build = "chmod +x run.sh; export CCACHE_DIR=${CCACHE_DIR:-/root/.ccache} GOCACHE=${GOCACHE:-/root/.go}\n" + spec.Build
			if change != nil {
				change(a)
			}
		})
		if got := w.outcome(id); got.Kind != client.OutcomeDone {
			t.Fatalf("%+v\n%s", got, w.farm.log(id))
		}
		return w.farm.log(id), w.farm.archive(id)
	}
	finds := func(what, log string, want bool) {
		t.Helper()
		if strings.Contains(log, "FOUND-FOLDER") != want || strings.Contains(log, "FOUND-GO") != want {
			t.Errorf("%s: finds what was kept is not %v:\n%s", what, want, log)
		}
	}
	release := func(a *client.Assignment) { a.Build.Ref = "v1.2.3" }
	log, first := build(nil)
	finds("the first", log, false)
	log, second := build(nil)
	finds("the second", log, true)
	log, _ = build(release)
	finds("the first release", log, false)
	log, _ = build(release)
	finds("the next release", log, true)
	log, without := build(func(a *client.Assignment) { a.Build.NoCache = true })
	finds("a build without caches", log, false)
	if first != second || first != without {
		t.Errorf("archives differ: %s at first, %s with a cache, %s without", first, second, without)
	}
}
