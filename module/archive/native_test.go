package archive_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

// programs are the platforms of goProgram that the tests use, as Go spells them.
var programs = []string{"linux/amd64", "linux/arm64", "linux/arm", "darwin/arm64", "windows/amd64"}

func TestEntrypointPlatform(t *testing.T) {
	t.Parallel()
	for _, p := range module.Platforms() {
		for _, built := range programs {
			t.Run(p.Dashed()+" gets "+strings.ReplaceAll(built, "/", "-"), func(t *testing.T) {
				t.Parallel()
				data := makeArchive(t, program("main", goProgram(t, built)))
				e := archive.Expect{Entrypoint: "main", Platform: p, LenientEntrypoint: true}
				if p.GOOS()+"/"+p.GOARCH() == built {
					got := accept(t, data, e)
					if got.Entrypoint.Built != built || len(got.Warnings) > 0 {
						t.Errorf("report: %+v", got)
					}
					return
				}
				want := `main: "` + built + `": is the entrypoint and built for another platform than ` + p.String() + "; build it for " + p.String()
				if p.IsWildcard() {
					want = `main: "` + built + `": is the entrypoint and does not run on every platform of ` + p.String() + "; publish it for " + built
				}
				if refused := refusal(t, data, e, want); !refused.WrongPlatform {
					t.Error("not marked as built for another platform")
				}
			})
		}
	}
}

func TestEntrypointPlatformThroughLinks(t *testing.T) {
	t.Parallel()
	arm := goProgram(t, "linux/arm64")
	amd := archive.Expect{Entrypoint: "main", Platform: platform(t, "linux/amd64")}
	for name, entries := range map[string][]entry{
		"link":               {symlink("main", "bin/x"), program("bin/x", arm)},
		"link to the link":   {program("bin/x", arm), symlink("b", "bin"), symlink("main", "b/x")},
		"hard link":          {program("bin/x", arm), hardlink("main", "bin/x")},
		"link to hard link":  {program("bin/x", arm), hardlink("y", "bin/x"), symlink("main", "./y")},
		"many faults before": append(slices.Repeat([]entry{file("/x", "")}, 60), program("main", arm)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if refused := refusal(t, makeArchive(t, entries...), amd, "is the entrypoint and built for another platform than linux/amd64"); !refused.WrongPlatform {
				t.Error("not marked as built for another platform")
			}
		})
	}
}

func TestNoPlatformNoCheck(t *testing.T) {
	t.Parallel()
	got := accept(t, makeArchive(t, program("main", goProgram(t, "linux/arm64"))), archive.Expect{Entrypoint: "main"})
	if got.Entrypoint.Built != "linux/arm64" || got.Entrypoint.Kind != "elf" {
		t.Errorf("entrypoint: %+v", got.Entrypoint)
	}
}

func TestScriptEntrypoint(t *testing.T) {
	t.Parallel()
	amd, arm, win := goProgram(t, "linux/amd64"), goProgram(t, "linux/arm64"), goProgram(t, "windows/amd64")
	for _, tc := range []struct {
		name, platform string
		entries        []entry
		refused        string
		warned         string
	}{
		{"own program", "linux/arm64", []entry{program("bin/x", arm)}, "", ""},
		{"all foreign", "linux/arm64", []entry{program("bin/x", amd), program("bin/y", amd)}, `bin/x: "linux/amd64": is not for linux/arm64, and no other native program or library in the archive is; build on, or for, linux/arm64`, ""},
		{"all for another system", "linux/amd64", []entry{program("bin/x", goProgram(t, "darwin/arm64"))}, "is not for linux/amd64", ""},
		{"some foreign", "linux/arm64", []entry{program("bin/x", amd), program("bin/y", arm)}, "", "files that are not for linux/arm64: bin/x (linux/amd64)"},
		{"only launchers foreign", "linux/arm64", []entry{program("lib/setuptools/cli-64.exe", win), program("lib/pip/_vendor/distlib/t64.exe", win)}, "", "files that are not for linux/arm64: lib/setuptools/cli-64.exe (windows/amd64), lib/pip/_vendor/distlib/t64.exe (windows/amd64)"},
		{"a program of one's own for Windows", "linux/arm64", []entry{program("bin/tool.exe", win)}, `bin/tool.exe: "windows/amd64": is not for linux/arm64`, ""},
		{"only firmware foreign", "linux/amd64", []entry{program("firmware/board.elf", goProgram(t, "linux/arm"))}, "", "files that are not for linux/amd64: firmware/board.elf (linux/arm)"},
		{"not executable, no library", "linux/amd64", []entry{file("data/x", minimalELF(elf.EM_AARCH64, elf.ET_EXEC))}, "", "files that are not for linux/amd64: data/x (linux/arm64)"},
		{"library", "linux/amd64", []entry{file("data/x.so", minimalELF(elf.EM_AARCH64, elf.ET_DYN))}, "data/x.so", ""},
		{"object files do not count", "linux/arm64", []entry{program("x.o", minimalELF(elf.EM_X86_64, elf.ET_REL))}, "", ""},
		{"wildcard takes all it covers", "linux/any", []entry{program("amd", amd), program("arm", arm)}, "", ""},
		{"wildcard and elsewhere", "linux/any", []entry{program("win", win)}, `win: "windows/amd64": is not for linux/any`, ""},
		{"any", "any", []entry{program("amd", amd), program("win", win)}, "", ""},
		{"any on one architecture", "any/arm64", []entry{program("amd", amd), program("win", win)}, "amd", ""},
		{"interpreter in the archive", "linux/arm64", []entry{program("bin/py", amd), program("other", arm), program("main", "#!bin/py -u\n")}, `bin/py: "linux/amd64": interprets the entrypoint main and is not for linux/arm64`, ""},
		{"fitting interpreter in the archive", "linux/arm64", []entry{program("bin/py", arm), program("main", "#!bin/py -u\n")}, "", ""},
		{"32 bit", "linux/arm32v7", []entry{program("bin/x", goProgram(t, "linux/arm"))}, "", ""},
		{"32 bit, older", "linux/arm32v6", []entry{program("bin/x", goProgram(t, "linux/arm"))}, "", ""},
		{"64 bit for 32 bit", "linux/arm32v7", []entry{program("bin/x", arm)}, "bin/x", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.entries[len(tc.entries)-1].name != "main" {
				tc.entries = append(tc.entries, program("main", "#!/usr/bin/env python3\n"))
			}
			data := makeArchive(t, tc.entries...)
			e := archive.Expect{Entrypoint: "main", Platform: platform(t, tc.platform)}
			if tc.refused != "" {
				if refused := refusal(t, data, e, tc.refused); !refused.WrongPlatform || len(refused.Faults) != 1 {
					t.Errorf("refused: %+v", refused)
				}
				return
			}
			if diff := cmp.Diff(tc.warned, strings.Join(accept(t, data, e).Warnings, "\n")); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// minimalELF is a header and nothing else.
func minimalELF(machine elf.Machine, fileType elf.Type) string {
	h := elf.Header64{Type: uint16(fileType), Machine: uint16(machine), Version: 1, Ehsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var buf bytes.Buffer
	if err := binary.Write(&buf, binary.LittleEndian, h); err != nil {
		panic(err) // a buffer takes everything
	}
	return buf.String()
}

// TestAgainstTheStandardReader compares with debug/elf on whatever this machine has.
func TestAgainstTheStandardReader(t *testing.T) {
	t.Parallel()
	const enough = 150
	checked := 0
	for _, dir := range []string{"/usr/lib", "/usr/aarch64-linux-gnu", "/usr/bin"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || checked >= enough {
				return nil //nolint:nilerr // folders that cannot be read are none of ours
			}
			if compareELF(t, name) {
				checked++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if checked == 0 {
		t.Skip("there is no ELF file on this machine")
	}
	t.Logf("compared %d files", checked)
}

func compareELF(t *testing.T, name string) bool {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	ref, err := elf.NewFile(f)
	if err != nil || ref.Type != elf.ET_EXEC && ref.Type != elf.ET_DYN {
		return false
	}
	want, err := ref.ImportedLibraries()
	if err != nil {
		return false
	}
	if ref.Section(".dynamic") == nil || ref.Section(".dynamic").Type == elf.SHT_NOBITS {
		want = nil
	}
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	got, err := archive.Identify(f)
	if err != nil || got == nil {
		t.Errorf("%s: %v, %v", name, got, err)
		return true
	}
	if diff := cmp.Diff(want, got.Needed); diff != "" && len(want)+len(got.Needed) > 0 {
		t.Errorf("%s: needed (-want +got):\n%s", name, diff)
	}
	if arch := map[elf.Machine]string{elf.EM_X86_64: "linux/amd64", elf.EM_AARCH64: "linux/arm64"}[ref.Machine]; arch != "" && ref.Class == elf.ELFCLASS64 && ref.OSABI != elf.ELFOSABI_FREEBSD && got.Built != arch {
		t.Errorf("%s: built for %s, want %s", name, got.Built, arch)
	}
	return true
}

// TestCompiledLibraries builds with a C compiler, where there is a cross compiler.
func TestCompiledLibraries(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("the plain compiler has to make libraries that do not fit linux/arm64")
	}
	native, cross := "gcc", "aarch64-linux-gnu-gcc"
	for _, compiler := range []string{native, cross} {
		if _, err := exec.LookPath(compiler); err != nil {
			t.Skipf("%s is not installed", compiler)
		}
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	compile := func(compiler string, args ...string) {
		cmd := exec.Command(compiler, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", compiler, args, err, out)
		}
	}
	libSource := write("lib.c", "int answer(void) { return 42; }\n")
	mainSource := write("main.c", "int answer(void);\nint main(void) { return answer(); }\n")
	for _, compiler := range []string{native, cross} {
		if err := os.Mkdir(filepath.Join(dir, compiler), 0o700); err != nil {
			t.Fatal(err)
		}
		compile(compiler, "-shared", "-fPIC", "-o", compiler+"/libanswer.so.1", "-Wl,-soname,libanswer.so.1", libSource)
		compile(compiler, "-o", compiler+"/main", mainSource, compiler+"/libanswer.so.1", "-Wl,-rpath,$ORIGIN/lib")
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	e := archive.Expect{Entrypoint: "main", Platform: platform(t, "linux/arm64")}
	accept(t, makeArchive(t, program("main", read(cross+"/main")), file("lib/libanswer.so.1", read(cross+"/libanswer.so.1"))), e)
	refuse(t, makeArchive(t, program("main", read(cross+"/main")), file("lib/libanswer.so.1", read(native+"/libanswer.so.1"))), e,
		`lib/libanswer.so.1: "linux/amd64": is loaded by main`)
}

func TestOtherFormats(t *testing.T) {
	t.Parallel()
	fat := func(arches ...uint32) string {
		b := binary.BigEndian.AppendUint32([]byte{0xca, 0xfe, 0xba, 0xbe}, uint32(len(arches)))
		for _, a := range arches {
			b = append(binary.BigEndian.AppendUint32(b, a), make([]byte, 16)...)
		}
		return string(b)
	}
	const amd64, arm64 = 0x01000007, 0x0100000c
	for _, tc := range []struct{ name, data, built string }{
		{"universal", fat(amd64, arm64), "darwin/amd64+darwin/arm64"},
		{"java class", "\xca\xfe\xba\xbe\x00\x00\x00\x34" + strings.Repeat("x", 100), ""},
		{"dos program", "MZ" + strings.Repeat("\x00", 100), ""},
		{"dos program with wild offset", "MZ" + strings.Repeat("\xff", 100), ""},
		{"short", "\x7fELF", ""},
		{"big endian", "\x7fELF\x02\x02\x01" + strings.Repeat("\x00", 9) + "\x00\x02\x00\x16" + strings.Repeat("\x00", 60), "linux/s390x"},
		{"freebsd", "\x7fELF\x02\x01\x01\x09" + strings.Repeat("\x00", 8) + "\x02\x00\x3e\x00" + strings.Repeat("\x00", 60), "freebsd/amd64"},
		{"x32", "\x7fELF\x01\x01\x01\x00" + strings.Repeat("\x00", 8) + "\x02\x00\x3e\x00" + strings.Repeat("\x00", 60), "linux/amd64p32"},
		{"unknown machine", "\x7fELF\x01\x01\x01\x00" + strings.Repeat("\x00", 8) + "\x02\x00\xff\x7f" + strings.Repeat("\x00", 60), "linux/machine32767-32bit"},
		{"text", strings.Repeat("hello ", 20), ""},
	} {
		got, err := archive.Identify(strings.NewReader(tc.data))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		built := ""
		if got != nil {
			built = got.Built
		}
		if built != tc.built {
			t.Errorf("%s: built for %q, want %q", tc.name, built, tc.built)
		}
	}
	e := archive.Expect{Entrypoint: "main", Platform: platform(t, "darwin/any")}
	accept(t, makeArchive(t, program("main", fat(amd64, arm64)+strings.Repeat("x", 100))), e)
	refuse(t, makeArchive(t, program("main", fat(arm64)+strings.Repeat("x", 100))), e, "does not run on every platform of darwin/any")
}

func TestForeignFilesAreListedUpToACap(t *testing.T) {
	t.Parallel()
	entries := []entry{run()}
	for i := range 30 {
		entries = append(entries, program(fmt.Sprintf("x%02d", i), minimalELF(elf.EM_X86_64, elf.ET_EXEC)))
	}
	entries = append(entries, program("own", minimalELF(elf.EM_AARCH64, elf.ET_EXEC)))
	got := accept(t, makeArchive(t, entries...), runScript).Warnings
	if len(got) != 1 || !strings.Contains(got[0], "x09 (linux/amd64), and 20 more") {
		t.Errorf("warnings: %q", got)
	}
}
