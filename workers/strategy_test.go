package workers_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/workers"
)

func platform(arch string) module.Platform { return module.Platform{OS: "linux", Arch: arch} }

func TestStrategy(t *testing.T) {
	t.Parallel()
	const (
		native, cross, qemu = module.StrategyNative, module.StrategyCross, module.StrategyQEMU
		sqlite              = "cgo github.com/mattn/go-sqlite3 -g -O2 -ldl -lm \n"
		nlopt               = "cgo github.com/go-nlopt/nlopt pkg-config:nlopt \n"
	)
	both := []module.Strategy{cross, qemu}
	goFiles, cFiles := []string{"go.mod", "main.go"}, []string{"Makefile", "src/main.c"}
	tests := map[string]struct {
		files   []string
		content map[string]string
		build   module.BuildSpec
		entry   string
		arch    string
		probed  string
		pinned  bool
		allowed []module.Strategy
		want    module.Strategy // empty: no plan
		env     []string        // some of it
		because string
	}{
		"native":             {files: goFiles, arch: "amd64", allowed: []module.Strategy{native}, want: native, because: "is a linux/amd64 machine"},
		"go":                 {files: goFiles, allowed: both, want: cross, env: []string{"CGO_ENABLED=0"}, because: "no dependency uses cgo"},
		"go with tools":      {files: append([]string{"Makefile", "x/y.c"}, goFiles...), allowed: both, want: cross, env: []string{"CGO_ENABLED=0"}},
		"go for armv6":       {files: goFiles, arch: "arm32v6", allowed: both, want: cross, env: []string{"CGO_ENABLED=0"}},
		"cgo, libc only":     {files: goFiles, probed: sqlite, allowed: both, want: cross, env: []string{"CGO_ENABLED=1", "CC=aarch64-linux-gnu-gcc"}, because: "mattn/go-sqlite3"},
		"cgo for armv7":      {files: goFiles, arch: "arm32v7", probed: sqlite, allowed: both, want: cross, env: []string{"CC=arm-linux-gnueabihf-gcc"}},
		"cgo for armv6":      {files: goFiles, arch: "arm32v6", probed: sqlite, allowed: both, want: qemu, because: "no C cross compiler"},
		"cgo with libraries": {files: goFiles, probed: sqlite + nlopt, allowed: both, want: qemu, because: "go-nlopt/nlopt uses cgo with libraries"},
		"cgo and apt": {
			files: goFiles, probed: sqlite, content: map[string]string{"setup.sh": "#!/bin/bash\nsudo apt-get install -y libfoo-dev\n"},
			build: module.BuildSpec{Setup: "./setup.sh"}, allowed: both, want: qemu, because: "setup.sh asks for libraries",
		},
		"go not listed":     {files: goFiles, probed: "unknown", allowed: both, want: qemu, because: "could not be listed"},
		"go with python":    {files: append([]string{"requirements.txt"}, goFiles...), allowed: both, want: qemu, because: "requirements.txt"},
		"c":                 {files: cFiles, allowed: both, want: cross, env: []string{"CC=aarch64-linux-gnu-gcc", "STRIP=aarch64-linux-gnu-strip"}, because: "C sources"},
		"c++ with cmake":    {files: []string{"CMakeLists.txt", "src/a/b.cpp"}, allowed: both, want: cross, env: []string{"CXX=aarch64-linux-gnu-g++"}},
		"c with threads":    {files: []string{"a.c"}, content: map[string]string{"CMakeLists.txt": "find_package(Threads REQUIRED)\n"}, allowed: both, want: cross},
		"c with libraries":  {files: []string{"a.c"}, content: map[string]string{"CMakeLists.txt": "find_package(OpenCV)\n"}, allowed: both, want: qemu, because: "CMakeLists.txt asks"},
		"c, comment only":   {files: []string{"a.c"}, content: map[string]string{"Makefile": "# no pkg-config here\nall:\n"}, allowed: both, want: cross},
		"c for armv6":       {files: cFiles, arch: "arm32v6", allowed: both, want: qemu, because: "no C cross compiler"},
		"c, no make file":   {files: []string{"main.c"}, allowed: both, want: qemu, because: "nothing says"},
		"conan":             {files: append([]string{"conanfile.py"}, cFiles...), allowed: both, want: qemu, because: "conanfile.py"},
		"python":            {files: []string{"requirements.txt", "src/main.py"}, allowed: both, want: qemu, because: "requirements.txt"},
		"python by main.py": {files: []string{"src/main.py"}, allowed: both, want: qemu, because: "src/main.py"},
		"python by entry":   {files: []string{"Makefile", "a.c"}, entry: "app/run.py", allowed: both, want: qemu, because: "entrypoint"},
		"rust":              {files: []string{"Cargo.toml", "src/main.rs"}, allowed: both, want: qemu, because: "Cargo.toml"},
		"shell only":        {files: []string{"build.sh"}, allowed: both, want: qemu, because: "nothing says"},
		"python, no qemu":   {files: []string{"main.py"}, allowed: []module.Strategy{cross}, because: "main.py"},
		"remembered":        {files: goFiles, allowed: []module.Strategy{qemu}, want: qemu, because: "this worker is a linux/amd64 machine"},
		"pinned cross":      {files: []string{"requirements.txt"}, pinned: true, allowed: []module.Strategy{cross}, want: cross, env: []string{"CC=aarch64-linux-gnu-gcc"}, because: "modfarm.yaml"},
		"pinned cross, go":  {files: goFiles, probed: nlopt, pinned: true, allowed: []module.Strategy{cross}, want: cross, env: []string{"CGO_ENABLED=1"}, because: "modfarm.yaml"},
		"pinned qemu":       {files: goFiles, pinned: true, allowed: []module.Strategy{qemu}, want: qemu, because: "modfarm.yaml"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := openTree(t, tc.files, tc.content)
			if tc.arch == "" {
				tc.arch = "arm64"
			}
			m := &module.Manifest{Entrypoint: tc.entry, Build: tc.build}
			got, env, because := workers.Choose(root.FS(), m, platform(tc.arch), platform("amd64"), tc.pinned, tc.probed, tc.allowed...)
			if got != tc.want || !strings.Contains(because, tc.because) {
				t.Errorf("%q, because %q; want %q, because %q", got, because, tc.want, tc.because)
			}
			for _, e := range tc.env {
				if !slices.Contains(env, e) {
					t.Errorf("no %s in %q", e, env)
				}
			}
		})
	}
}

func openTree(t *testing.T, files []string, content map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		put(f, "")
	}
	for f, text := range content {
		put(f, text)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestCrossTrouble(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"bash: line 1: ./gen: cannot execute binary file: Exec format error\n":                                                       "exec format error",
		"fork/exec /tmp/x: exec format error":                                                                                        "exec format error",
		"make: aarch64-linux-gnu-gcc: No such file or directory\nmake: *** [Makefile:3: a] Error 127\n":                              "missing",
		"bash: line 1: aarch64-linux-gnu-g++: command not found\n":                                                                   "missing",
		"/bin/sh: 1: aarch64-linux-gnu-strip: not found\n":                                                                           "missing",
		`cgo: C compiler "aarch64-linux-gnu-gcc" not found: exec: "aarch64-linux-gnu-gcc": executable file not found in $PATH`:       "missing",
		"main.c:1:10: fatal error: foo.h: No such file or directory\n":                                                               "",
		"/usr/lib/gcc-cross/aarch64-linux-gnu/12/../../../../aarch64-linux-gnu/bin/ld: cannot find -lx: No such file or directory\n": "",
		"aarch64-linux-gnu-gcc: error: foo.c: No such file or directory\n":                                                           "",
		"gcc: not found\n": "",
	} {
		because, ok := workers.CrossTrouble(platform("arm64"), output)
		if ok != (want != "") || !strings.Contains(because, want) {
			t.Errorf("%q: %q, %v; want %q", output, because, ok, want)
		}
	}
}
