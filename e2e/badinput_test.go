package e2e_test

import (
	"os"
	"slices"
	"testing"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/e2e/road"
	"github.com/modfarm/modfarm/module"
)

// TestBadInput takes every kind of bad module the whole road, side by side on
// one farm: each ends in a state whose sentence names cause and next step, and
// afterwards the farm builds a good module as before.
func TestBadInput(t *testing.T) {
	y := openYard(t, append(limitArgs(), "--slots", "5")...)
	prepareRun(t, y)
	t.Run("cases", func(t *testing.T) {
		cases := slices.Concat(manifestCases(), repositoryCases(), scriptCases(), archiveCases(), leavingsCases(), networkCases(), limitCases())
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				y.run(t, c)
			})
		}
		for name, run := range map[string]func(*testing.T, *yard){
			"cgo-silent":          cgoSilentlyOff,
			"network-tries":       networkTries,
			"address-refused":     refusedAddresses,
			"tag-no-version":      tagIsNoVersion,
			"unknown-module":      unknownModule,
			"tag-moved":           movedTag,
			"version-again":       versionAgain,
			"submodules-lfs-fine": submodulesAndLargeFiles,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, y)
			})
		}
	})
	t.Run("the-farm-goes-on", func(t *testing.T) {
		y.run(t, badCase{name: "good-after-all", build: goodBuild, want: client.JobPublished})
		y.clean(t)
		if _, err := os.Stat(helperRan()); err == nil {
			t.Error("a program that an address names was run on this machine")
		}
	})
}

// prepareRun makes the image in which a module for another processor is started.
func prepareRun(t *testing.T, y *yard) {
	t.Helper()
	root := checkout(t)
	platforms := []module.Platform{{OS: "linux", Arch: "arm64"}}
	if err := road.PrepareRun(t.Context(), root, &lines{t: t}, y.binary, platforms); err != nil {
		t.Fatal(err)
	}
}
