package workers_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	farm "github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
	"github.com/modfarm/modfarm/workers/docker"
	"github.com/modfarm/modfarm/workers/docker/guard/guardtest"
	"github.com/modfarm/modfarm/workers/images"
)

// present serves builder images that the engine has; making them is the business of another test.
type present struct{}

func (present) Builder(_ context.Context, p module.Platform, distro string, _ func(string)) (string, error) {
	recipe, err := images.Builder(p, distro)
	return recipe.Ref(), err
}

func (present) Run(_ context.Context, p module.Platform, distro string) (string, error) {
	recipe, err := images.Run(p, distro)
	return recipe.Ref(), err
}

// inDocker is a world whose containers are real; it skips where an engine or a builder image is missing.
func inDocker(t *testing.T, limits docker.Limits) *world {
	t.Helper()
	engine, err := docker.Connect(t.Context())
	if err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	for _, arch := range []string{"amd64", "arm64"} {
		recipe, err := images.Builder(platform(arch), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.ImageInspect(t.Context(), recipe.Ref()); err != nil {
			t.Skipf("no builder image %s: make it with `modfarm images`", recipe.Ref())
		}
	}
	w := newWorld(t)
	w.pool.Name = "test-" + strings.ToLower(t.Name()+rand.Text()[:6]) // the engine may run the same test of another checkout
	runner, err := docker.New(t.Context(), docker.Options{
		Engine: engine, Name: w.pool.Name, WorkDir: w.pool.WorkDir, Images: present{}, Limits: limits,
		Guard: guardtest.Program(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRunner(t, engine, runner, w.pool.Name) })
	ability, err := runner.Prove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if runner.Host() != platform("amd64") || len(ability.QEMU) == 0 {
		t.Skipf("this test wants an amd64 machine that emulates arm64: %+v", ability)
	}
	w.pool.Runner, w.pool.Host = runner, runner.Host()
	return w
}

// closeRunner checks that no container and no network of the worker is left, and removes the caches of the test.
func closeRunner(t *testing.T, engine *client.Client, runner *docker.Runner, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	left := func() (names []string) {
		list, err := engine.ContainerList(ctx, client.ContainerListOptions{
			All: true, Filters: make(client.Filters).Add("label", "dev.modfarm.worker="+name),
		})
		if err != nil {
			t.Error(err)
		}
		for _, c := range list.Items {
			names = append(names, c.Names...)
		}
		return names
	}
	if names := left(); len(names) > 1 || len(names) == 1 && !strings.Contains(names[0], "modfarm-spare-") { // for the next build
		t.Errorf("containers left: %v", names)
	}
	if err := runner.Close(ctx); err != nil {
		t.Error(err)
	}
	if names := left(); len(names) > 0 {
		t.Errorf("containers left: %v", names)
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("label", "dev.modfarm.worker="+name)})
	if err != nil || len(networks.Items) > 0 {
		t.Errorf("networks left: %v, %v", networks.Items, err)
	}
	volumes, err := engine.VolumeList(ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("label", "dev.modfarm.owner="+name)})
	if err != nil {
		t.Error(err)
	}
	for _, v := range volumes.Items {
		if _, err := engine.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func TestRealBuilds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds in containers, also under emulation")
	}
	w := inDocker(t, docker.Limits{Memory: 4 << 30})
	w.start()
	const (
		goMod  = "module example.com/widget\n\ngo 1.26\n"
		goMain = "package main\n\nfunc main() { println(\"hi\") }\n"
		cgo    = "package main\n\n// int answer(void) { return 42; }\nimport \"C\"\n\nfunc main() { println(C.answer()) }\n"
		cMain  = "#include <stdio.h>\nint main(void) { puts(\"hi\"); return 0; }\n"
	)
	goFiles := map[string]string{
		"go.mod": goMod, "main.go": goMain, "meta.json": "{}",
		"Makefile": "out:\n\tgo build -o out/bin .\n\tstrip out/bin\n\tgit describe --always\n",
	}
	goBuild := module.BuildSpec{Setup: "go version; echo setup for ${GOOS:-the container}", Build: "make out"}
	tests := []struct {
		name, arch string
		files      map[string]string
		spec       module.BuildSpec
		strategies []module.Strategy
		want       module.Strategy
		log        []string
	}{
		{"go native", "amd64", goFiles, goBuild, []module.Strategy{module.StrategyNative}, module.StrategyNative, []string{"setup for linux\n"}},
		{"go cross", "arm64", goFiles, goBuild, both(), module.StrategyCross, []string{"no dependency uses cgo", "setup for the container\n"}},
		{"go cross armv7", "arm32v7", goFiles, goBuild, both(), module.StrategyCross, nil},
		{"cgo cross", "arm64", map[string]string{"go.mod": goMod, "main.go": cgo}, module.BuildSpec{Build: "go build -o out/bin ."}, both(), module.StrategyCross, []string{"aarch64-linux-gnu-gcc compiles the cgo of example.com/widget"}},
		{"c cross", "arm64", map[string]string{"Makefile": "out/bin: main.c\n\tmkdir -p out\n\t$(CC) -o $@ $<\n", "main.c": cMain}, module.BuildSpec{Build: "make"}, both(), module.StrategyCross, nil},
		{"c that insists on gcc", "arm64", map[string]string{"Makefile": "CC = gcc\nout/bin: main.c\n\tmkdir -p out\n\t$(CC) -o $@ $<\n", "main.c": cMain}, module.BuildSpec{Build: "make"}, both(), module.StrategyQEMU, []string{"programs of another platform", "crossing did not work"}},
		{"python", "arm64", map[string]string{"requirements.txt": "", "bin.py": "#!/usr/bin/env python3\nprint('hi')\n"}, module.BuildSpec{
			Build: "uname -m; python3 -m venv --without-pip venv; venv/bin/python -V; mkdir out; cp bin.py out/bin",
		}, both(), module.StrategyQEMU, []string{"aarch64\n", "modules with requirements.txt are not cross-compiled"}},
	}
	for _, tc := range tests {
		id := w.submitAlone(tc.files, tc.spec, func(a *farm.Assignment) {
			a.Job.Platform, a.Strategies = platform(tc.arch), tc.strategies
			a.Manifest.Entrypoint = "bin"
		})
		started := time.Now()
		select {
		case got := <-w.farm.ended(id):
			log := w.farm.log(id)
			if got.Kind != farm.OutcomeDone || got.Strategy != tc.want {
				t.Errorf("%s: %+v\n%s", tc.name, got, log)
			}
			for _, want := range tc.log {
				if !strings.Contains(log, want) {
					t.Errorf("%s: no %q in\n%s", tc.name, want, log)
				}
			}
			t.Logf("%s: %s after %.1fs", tc.name, got.Strategy, time.Since(started).Seconds())
		case <-time.After(5 * time.Minute):
			t.Fatalf("%s does not end:\n%s", tc.name, w.farm.log(id))
		}
	}
}

func both() []module.Strategy { return []module.Strategy{module.StrategyCross, module.StrategyQEMU} }

// submitAlone queues a job for a commit that has just these files.
func (w *world) submitAlone(files map[string]string, spec module.BuildSpec, change func(*farm.Assignment)) string {
	w.t.Helper()
	w.clearTree()
	return w.submit(change, spec, files)
}

var _ workers.Runner = (*docker.Runner)(nil)
