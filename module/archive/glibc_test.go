package archive_test

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/semver"

	"github.com/modfarm/modfarm/module/archive"
)

// TestGlibcNeed compares what is read from a stream with what debug/elf reads from the file, for programs of this machine.
func TestGlibcNeed(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob("/usr/bin/*")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, file := range all {
		f, err := elf.Open(file)
		if err != nil {
			continue // a script
		}
		want, symbols := needOf(t, f)
		machine := f.Machine
		_ = f.Close()
		data, err := os.ReadFile(file)
		if want == "" || err != nil || len(data) > 1<<20 || machine != elf.EM_X86_64 {
			continue
		}
		got := accept(t, makeArchive(t, program("main", string(data))), archive.Expect{Entrypoint: "main", Platform: platform(t, "linux/amd64")})
		if got.Glibc == nil || got.Glibc.Version != want || !symbols[got.Glibc.Symbol] && got.Glibc.Symbol != "" {
			t.Errorf("%s: need %+v, want %s by one of %v", file, got.Glibc, want, symbols)
		}
		if compared++; compared == 40 {
			break
		}
	}
	if compared == 0 {
		t.Skip("this machine has no programs that need glibc")
	}
}

// needOf is the newest version of glibc that a file's symbols have, and the symbols that have it.
func needOf(t *testing.T, f *elf.File) (newest string, symbols map[string]bool) {
	t.Helper()
	imported, err := f.ImportedSymbols()
	if err != nil {
		return "", nil
	}
	for _, s := range imported {
		v, ok := strings.CutPrefix(s.Version, "GLIBC_")
		if !ok || strings.Trim(v, "0123456789.") != "" {
			continue
		}
		switch semver.Compare("v"+v, "v"+newest) {
		case 1:
			newest, symbols = v, map[string]bool{s.Name: true}
		case 0:
			symbols[s.Name] = true
		}
	}
	return newest, symbols
}

func TestGlibcNewerThanTheTargets(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Skip("no program to look at")
	}
	file := makeArchive(t, program("bin/ls", string(data)))
	e := archive.Expect{Entrypoint: "bin/ls", Platform: platform(t, "linux/amd64")}
	need := accept(t, file, e).Glibc
	if need == nil {
		t.Skip("it needs no glibc here")
	}
	e.Glibc = need.Version
	accept(t, file, e)
	e.Glibc = "2.2.4"
	_ = refusal(t, file, e, "bin/ls: needs "+need.Symbol+" of glibc "+need.Version+
		", and the target has glibc 2.2.4; build it with the builder image of the target's release, or link it statically")
}
