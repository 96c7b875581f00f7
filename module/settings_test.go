package module_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
)

func TestParseSettingsReadsEveryKey(t *testing.T) {
	t.Parallel()
	got, err := module.ParseSettings([]byte(`# settings
publish: all
strategy:
  linux/arm64: cross
  linux/arm/v7: qemu
  linux/amd64: auto
timeouts: {setup: 90s, build: 1h30m, total: 2h}
network:
  setup: registries
  build: none
caches:
  - .cache/go/
  - node_modules
smoke: ./dist/main --version
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &module.Settings{
		Publish: module.PublishAll,
		Strategies: map[module.Platform]module.Strategy{
			{OS: "linux", Arch: "arm64"}:   module.StrategyCross,
			{OS: "linux", Arch: "arm32v7"}: module.StrategyQEMU,
		},
		Timeouts: module.Timeouts{Setup: 90 * time.Second, Build: 90 * time.Minute, Total: 2 * time.Hour},
		Network:  module.Network{Setup: module.NetworkRegistries, Build: module.NetworkNone},
		Caches:   []string{".cache/go", "node_modules"},
		Smoke:    "./dist/main --version",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseSettings (-want +got):\n%s", diff)
	}
	stored, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var back module.Settings
	mustUnmarshal(t, stored, &back)
	if diff := cmp.Diff(*want, back); diff != "" {
		t.Errorf("through JSON (-want +got):\n%s", diff)
	}
}

func TestSettingsDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "~", "{}", "publish:\nnetwork:\ncaches: []\n", "network: &n {setup: full}\n"} {
		got, err := module.ParseSettings([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(module.DefaultSettings(), got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseSettingsListsAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := module.ParseSettings([]byte(`publsh: all
publish: eech
strategy:
  linux/any: native
  linux/arm64: crss
  linux/risc: qemu
  linux/arm/v7: qemu
  linux/arm32v7: cross
timeouts:
  setup: 10
  build: soon
  total: -1m
network:
  setup: off
  build: intranet
  deploy: full
caches:
  - /root/.cache
  - ~/.cache
  - ../x
  - a
  - ./a
  - 7
smoke: true
Caches: "[a"
`))
	var faults module.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("error is %T: %v", err, err)
	}
	want := []string{
		`line 1: publsh: is not a known key; did you mean publish?`,
		`line 25: Caches: is not a known key; did you mean caches?`,
		`line 2: publish: "eech": not a way to publish; did you mean each?`,
		`line 4: strategy.linux/any: "linux/any": is a wildcard; name each platform`,
		`line 5: strategy.linux/arm64: "crss": not a strategy; did you mean cross?`,
		`line 6: strategy.linux/risc: "linux/risc": not a platform; use one of linux/amd64, linux/arm64, linux/arm32v7, linux/arm32v6, darwin/amd64, darwin/arm64, windows/amd64, linux/any, darwin/any, any/amd64, any/arm64, any`,
		`line 8: strategy.linux/arm32v7: stands there twice; remove one of the two`,
		`line 10: timeouts.setup: "10": has no unit; write 10s or 10m`,
		`line 11: timeouts.build: "soon": not a duration; write a number with its unit, such as 90s, 15m or 1h30m`,
		`line 12: timeouts.total: "-1m": is not more than zero; remove it to get the worker's default`,
		`line 16: network.deploy: is not a known key; use one of setup, build`,
		`line 14: network.setup: "off": not a network policy; use one of full, registries, none`,
		`line 15: network.build: "intranet": not a network policy; use one of full, registries, none`,
		`line 18: caches[0]: "/root/.cache": is absolute; write it relative to the root of the workdir`,
		`line 19: caches[1]: "~/.cache": begins with ~, which nothing expands here; write it relative to the root of the workdir`,
		`line 20: caches[2]: "../x": leads out of the workdir; write it relative to the root of the workdir`,
		`line 22: caches[4]: "a": stands there twice; remove one of the two`,
		`line 23: caches[5]: "7": is a number, not a string; write it within quotes`,
		`line 24: smoke: "true": is a boolean, not a string; write it within quotes`,
	}
	if diff := cmp.Diff(want, strings.Split(faults.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestParseSettingsSingleFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"tab", "network:\n\tsetup: full\n", "line 2: broken YAML: found character that cannot start any token; indent with spaces"},
		{"scalar", "publish", `line 1: "publish": is a string, not a mapping; write one of publish,`},
		{"two documents", "publish: each\n---\npublish: all\n", "holds more than one document"},
		{"strategy for all", "strategy: qemu\n", `strategy: "qemu": is a string, not a mapping; write one line per platform, such as linux/arm64: cross`},
		{"steps longer than all", "timeouts: {build: 2h, total: 1h}\n", `timeouts.total: "1h0m0s": is shorter than a step alone may take`},
		{"twice", "smoke: a\nsmoke: b\n", "line 2: smoke: stands there twice"},
		{"empty element", "caches:\n  -\n", "line 2: caches[0]: is empty, not a string; remove it"},
		{"too large", strings.Repeat("#", module.MaxSettingsSize+1), "keep it under 65536"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := module.ParseSettings([]byte(tc.text))
			if err == nil {
				t.Fatalf("accepted as %+v", s)
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is\n%v\nwant\n%s", err, tc.want)
			}
		})
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte("publish: all\nstrategy: {linux/arm64: cross}\ntimeouts: {setup: 1m}\ncaches: [a]\n"))
	f.Add([]byte("a: &a [*a]\nnetwork: *a\n"))
	f.Add([]byte("a: &a\n  <<: *a\nstrategy: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := module.ParseSettings(data)
		if (s == nil) == (err == nil) {
			t.Fatalf("settings %v and error %v", s, err)
		}
		if err != nil && (err.Error() == "" || !errors.Is(err, module.ErrInvalid)) {
			t.Fatalf("bad failure: %T %v", err, err)
		}
	})
}
