package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/module/archive"
)

var runScript = archive.Expect{Entrypoint: "run.sh", Platform: module.Platform{OS: "linux", Arch: "arm64"}}

func TestInspectReports(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, folder("./"), run(), file("./meta.json", "{}"), folder("lib/"), file("lib/x.py", "x"))
	data := zip(t, raw)
	got := accept(t, data, archive.Expect{Entrypoint: "./run.sh", Platform: runScript.Platform, FirstRun: "run.sh"})
	sum, tarSum := sha256.Sum256(data), sha256.Sum256(raw)
	want := &archive.Report{
		SHA256: hex.EncodeToString(sum[:]), TarSHA256: hex.EncodeToString(tarSum[:]),
		CRC32C: crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)),
		Size:   int64(len(data)), TarSize: int64(len(raw)), Entries: 5, HasManifest: true,
		Entrypoint: archive.Entrypoint{Path: "run.sh", Kind: "script", Executable: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestGzipAndTarValidity(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, run(), file("data", strings.Repeat("all work and no play\n", 5000)))
	good := zip(t, raw)
	half := len(raw) / 2
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 0xff
	checksum := bytes.Clone(good)
	checksum[len(checksum)-6] ^= 0xff
	joinable := makeTar(t, file("second", ""))
	for _, tc := range []struct {
		name string
		data []byte
		want string // empty: accepted
	}{
		{"good", good, ""},
		{"several gzip members", append(zip(t, raw[:half]), zip(t, raw[half:])...), ""},
		{"zeros behind the tar", zip(t, append(bytes.Clone(raw), make([]byte, 9000)...)), ""},
		{"nothing", nil, "is empty"},
		{"empty tar", zip(t, make([]byte, 1024)), "is empty; pack the module's files"},
		{"empty gzip", zip(t, nil), "is empty"},
		{"text", []byte("hello, this is no archive"), "is not a gzip tar; pack it with tar -czf"},
		{"plain tar", raw, "is a tar file that is not compressed"},
		{"zip", []byte("PK\x03\x04rest"), "is a zip file"},
		{"xz", []byte("\xfd7zXZ\x00rest"), "xz, not gzip"},
		{"zstd", []byte("\x28\xb5\x2f\xfdrest"), "zstd, not gzip"},
		{"bzip2", []byte("BZh91AY"), "bzip2, not gzip"},
		{"gzip of text", zip(t, []byte(strings.Repeat("hello", 200))), "is no tar within the gzip"},
		{"gzip of short text", zip(t, []byte("hello")), "ends too early"},
		{"cut off", good[:len(good)/2], "ends too early, after "},
		{"cut in the header", good[:5], "ends too early"},
		{"cut in the trailer", good[:len(good)-3], "ends too early"},
		{"damaged", damaged, "is damaged"},
		{"wrong checksum", checksum, "the checksum of the gzip stream is wrong"},
		{"garbage behind", append(bytes.Clone(good), "garbage behind the end"...), "something else behind the end of the gzip stream"},
		{"zeros behind the gzip", append(bytes.Clone(good), make([]byte, 64)...), "something else behind the end"},
		{"second tar behind", append(bytes.Clone(good), zip(t, joinable)...), "not zero behind the end of the tar; archives cannot be joined"},
		{"tar cut off", zip(t, raw[:len(raw)-3000]), "ends too early"},
		{"bad gzip flags", append([]byte{0x1f, 0x8b, 9, 0}, make([]byte, 30)...), "damaged gzip header"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.want == "" {
				accept(t, tc.data, runScript)
				return
			}
			refuse(t, tc.data, runScript, tc.want)
		})
	}
}

func TestMissingEndMarkerIsAWarning(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, program("run.sh", "#!/bin/sh\n"+strings.Repeat("x", 502)))
	report := accept(t, zip(t, raw[:1024]), runScript)
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "no end marker") {
		t.Errorf("warnings: %q", report.Warnings)
	}
}

func TestErrorsOfTheSourceAreNoRefusal(t *testing.T) {
	t.Parallel()
	data := makeArchive(t, run())
	broken := errors.New("connection reset")
	for _, cut := range []int{0, 5, len(data) / 2, len(data) - 1} {
		r := io.MultiReader(bytes.NewReader(data[:cut]), iotest.ErrReader(broken))
		if _, err := archive.Inspect(t.Context(), r, runScript); !errors.Is(err, broken) || errors.Is(err, module.ErrInvalid) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Inspect(ctx, bytes.NewReader(data), runScript); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUnsafeEntries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		entries []entry
		want    string // empty: accepted
	}{
		{"absolute name", []entry{file("/etc/passwd", "x")}, "/etc/passwd: has an absolute name"},
		{"climbing name", []entry{file("../x", "x")}, "../x: has .. in its name"},
		{"climbing inside", []entry{file("a/../x", "x")}, "a/../x: has .. in its name"},
		{"dots that do not climb", []entry{file("a..b/...", "x")}, ""},
		{"twice", []entry{file("a", "x"), file("a", "y")}, "a: is in the archive twice"},
		{"twice after cleaning", []entry{file("a/b", "x"), file("./a//b", "y")}, "a/b: is in the archive twice"},
		{"folder twice", []entry{folder("a/"), file("a/b", ""), folder("./a")}, ""},
		{"file then folder", []entry{file("a", "x"), folder("a/")}, "a: is a folder and something else as well"},
		{"folder then file", []entry{folder("a/"), file("a", "x")}, "a: is a folder and something else as well"},
		{"implied folder then file", []entry{file("a/b", "x"), file("a", "x")}, "a: is a folder and something else as well"},
		{"below a file", []entry{file("a", "x"), file("a/b", "x")}, "a/b: lies below a, which is a file"},
		{"top folder is a link", []entry{symlink(".", "x")}, "replaces the top folder"},
		{"long name", []entry{file(strings.Repeat("d/", 2100)+"x", "")}, "has a name of 4201 bytes, the limit is 4095"},
		{"deep name", []entry{file(strings.Repeat("d/", 257)+"x", "")}, "lies 257 folders deep, the limit is 256"},
		{"long part of a name", []entry{file("d/"+strings.Repeat("x", 256), "")}, "has a part of 256 bytes in its name, the limit is 255"},
		{"device", []entry{special("null", tar.TypeChar)}, "null: is a device"},
		{"block device", []entry{special("sda", tar.TypeBlock)}, "sda: is a device"},
		{"pipe", []entry{special("p", tar.TypeFifo)}, "p: is a named pipe"},
		{"setuid", []entry{{name: "su", kind: tar.TypeReg, mode: 0o4755}}, "su: has the setuid or setgid bit; take it away"},
		{"setgid", []entry{{name: "sg", kind: tar.TypeReg, mode: 0o2755}}, "sg: has the setuid or setgid bit"},
		{"sticky", []entry{{name: "st", kind: tar.TypeReg, mode: 0o1755}}, ""},
		{"control characters are quoted", []entry{file("/a\x1b[2Jb", "x")}, `"/a\x1b[2Jb": has an absolute name`},

		{"link inside", []entry{file("lib/a.so.1", ""), symlink("lib/a.so", "a.so.1")}, ""},
		{"link up inside", []entry{file("pkg/x.js", ""), symlink("bin/x", "../pkg/x.js")}, ""},
		{"link to the top", []entry{symlink("a/top", "..")}, ""},
		{"dangling link", []entry{symlink("a", "nowhere")}, ""},
		{"link out", []entry{symlink("a", "../b")}, `a: "../b": is a link that leads out`},
		{"link out of its own folder's depth", []entry{symlink("a/b/c", "../../../x")}, `a/b/c: "../../../x": is a link that leads out`},
		{"link out and in", []entry{symlink("a", "../here/a")}, "leads out"},
		{"link out behind a name", []entry{folder("d/"), symlink("a", "d/../../x")}, "leads out"},
		{"absolute link", []entry{symlink("a", "/usr/lib/x")}, `a: "/usr/lib/x": is a link to an absolute path; make the link relative`},
		{"python of a venv", []entry{symlink("venv/bin/python3", "/usr/bin/python3")}, "make the environment with python3 -m venv --copies"},
		{"windows target", []entry{symlink("a", `C:\x`)}, "absolute path"},
		{"write through a link", []entry{symlink("d", "e"), file("d/x", "")}, "d/x: lies behind the symbolic link d"},
		{"write through a link, deeper", []entry{symlink("d", "e"), file("d/x/y/z", "")}, "lies behind the symbolic link d"},
		{"link over a folder", []entry{file("d/x", ""), symlink("d", "..")}, "d: is a folder and something else"},
		{"chained links", []entry{symlink("a", "."), symlink("a/b", "..")}, "a/b: lies behind the symbolic link a"},
		{"link in a link's target", []entry{folder("d/"), symlink("d/top", ".."), symlink("e", "d/top/..")}, `e: "d/top/..": goes up again behind the link d/top`},
		{"the same, link later", []entry{symlink("e", "d/top/../x"), symlink("d/top", "..")}, "goes up again behind the link d/top"},
		{"up behind a folder", []entry{folder("d/"), file("f", ""), symlink("e", "d/../f")}, ""},
		{"empty link", []entry{symlink("a", "")}, "a: is a link to nothing"},
		{"link with a long target", []entry{symlink("a", strings.Repeat("x/", 3000))}, "is a link with a target of 6000 bytes"},
		{"link twice", []entry{symlink("a", "b"), symlink("a", "c")}, "a: is in the archive twice"},

		{"hard link", []entry{file("d/x", "x"), hardlink("y", "d/x"), hardlink("z", "./y")}, ""},
		{"hard link to later", []entry{hardlink("y", "x"), file("x", "x")}, `y: "x": is a hard link to a file that does not come before it`},
		{"hard link relative to its folder", []entry{file("d/x", ""), hardlink("d/y", "x")}, `d/y: "x": is a hard link to a file that does not come before it`},
		{"hard link out", []entry{hardlink("y", "../x")}, `y: "../x": is a hard link to a file outside`},
		{"absolute hard link", []entry{hardlink("y", "/etc/shadow")}, "is a hard link to a file outside"},
		{"hard link to a link", []entry{symlink("l", "x"), hardlink("y", "l")}, `y: "l": is a hard link to a symbolic link`},
		{"hard link to a folder", []entry{folder("d/"), hardlink("y", "d")}, `y: "d": is a hard link to a folder`},
		{"hard link over a file", []entry{file("x", ""), file("y", ""), hardlink("y", "x")}, "y: is in the archive twice"},
		{"hard link through a link", []entry{file("d/x", ""), symlink("l", "d"), hardlink("y", "l/x")}, "does not come before it"},

		{"comment in a global header", []entry{{name: "pax_global_header", kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "abc"}}}, ""},
		{"name in a global header", []entry{{name: "g", kind: tar.TypeXGlobalHeader, pax: map[string]string{"path": "x"}}}, `"path": is set for all entries by a global header`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			data := makeArchive(t, append([]entry{run()}, tc.entries...)...)
			if tc.want == "" {
				if report := accept(t, data, runScript); len(report.Warnings) > 0 {
					t.Errorf("warnings: %q", report.Warnings)
				}
			} else if refused := refusal(t, data, runScript, tc.want); len(refused.Faults) != 1 || refused.WrongPlatform {
				t.Errorf("faults: %+v", refused)
			}
		})
	}
}

func TestBackslashesMatterOnWindows(t *testing.T) {
	t.Parallel()
	data := makeArchive(t, run(), file(`..\x`, ""))
	accept(t, data, runScript)
	for _, p := range []string{"windows/amd64", "any"} {
		refuse(t, data, archive.Expect{Entrypoint: "run.sh", Platform: platform(t, p)}, "has a backslash in its name")
	}
}

func TestAllFaultsAreListedUpToACap(t *testing.T) {
	t.Parallel()
	refused := refusal(t, makeArchive(t, file("/a", ""), symlink("b", "/c"), special("d", tar.TypeFifo)), runScript, "")
	if len(refused.Faults) != 4 { // and the missing entrypoint
		t.Errorf("faults:\n%v", refused)
	}
	var many []entry
	for i := range 200 {
		many = append(many, file(fmt.Sprintf("/%d", i), ""))
	}
	refused = refusal(t, makeArchive(t, many...), runScript, "and 151 more faults")
	if len(refused.Faults) != 51 {
		t.Errorf("%d faults", len(refused.Faults))
	}
}

func TestEntrypoint(t *testing.T) {
	t.Parallel()
	script := "#!/bin/bash\n"
	for _, tc := range []struct {
		name, platform, entrypoint string
		entries                    []entry
		want                       string // empty: accepted
		found                      archive.Entrypoint
	}{
		{"there", "linux/arm64", "./dist//main", []entry{program("dist/main", script)}, "", archive.Entrypoint{Path: "dist/main", Kind: "script", Executable: true}},
		{"missing", "linux/arm64", "main", []entry{file("other", "")}, "main: is the entrypoint but not in the archive; pack it under this name", archive.Entrypoint{}},
		{"elsewhere", "linux/arm64", "main", []entry{program("dist/main", script)}, "did you mean dist/main?", archive.Entrypoint{}},
		{"folder", "linux/arm64", "main", []entry{folder("main/")}, "main: is the entrypoint but a folder", archive.Entrypoint{}},
		{"not executable", "linux/arm64", "main", []entry{file("main", script)}, "main: is the entrypoint but not executable; run chmod +x", archive.Entrypoint{}},
		{"only others execute", "linux/arm64", "main", []entry{{name: "main", body: script, kind: tar.TypeReg, mode: 0o655}}, "not executable", archive.Entrypoint{}},
		{"through a link", "linux/arm64", "main", []entry{symlink("main", "v1/main"), program("v1/main", script)}, "", archive.Entrypoint{Path: "v1/main", Kind: "script", Executable: true}},
		{"through a folder link", "linux/arm64", "current/main", []entry{program("v1/main", script), symlink("current", "v1")}, "", archive.Entrypoint{Path: "v1/main", Kind: "script", Executable: true}},
		{"link to nothing", "linux/arm64", "main", []entry{symlink("main", "v1/main")}, "main: is the entrypoint but a link to nothing in the archive", archive.Entrypoint{}},
		{"link in a circle", "linux/arm64", "main", []entry{symlink("main", "b"), symlink("b", "main")}, "a link to nothing", archive.Entrypoint{}},
		{"hard link", "linux/arm64", "main", []entry{program("a", script), hardlink("main", "a")}, "", archive.Entrypoint{Path: "main", Kind: "script", Executable: true}},
		{"exe on windows", "windows/amd64", "main", []entry{program("main.exe", script)}, "", archive.Entrypoint{Path: "main.exe", Kind: "script", Executable: true}},
		{"exe elsewhere", "linux/amd64", "main", []entry{program("main.exe", script)}, "did you mean main.exe?", archive.Entrypoint{}},
		{"no entrypoint asked", "linux/amd64", "", []entry{file("x", "")}, "", archive.Entrypoint{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := archive.Expect{Entrypoint: tc.entrypoint, Platform: platform(t, tc.platform)}
			data := makeArchive(t, tc.entries...)
			if tc.want == "" {
				if diff := cmp.Diff(tc.found, accept(t, data, e).Entrypoint); diff != "" {
					t.Errorf("entrypoint (-want +got):\n%s", diff)
				}
				return
			}
			refuse(t, data, e, tc.want)
			e.LenientEntrypoint = true
			if report := accept(t, data, e); len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], tc.want[strings.Index(tc.want, ":")+1:]) {
				t.Errorf("lenient warnings: %q", report.Warnings)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		firstRun string
		entries  []entry
		want     []string
	}{
		{
			"case", "",
			[]entry{file("README", ""), file("readme", ""), file("Lib/a", ""), file("lib/b", "")},
			[]string{"names that differ from others only in upper and lower case, which macOS and Windows cannot keep apart: readme, lib"},
		},
		{
			"first_run without meta.json", "first.sh",
			[]entry{program("first.sh", "#!/bin/sh\n")},
			[]string{"first_run is set but the archive has no meta.json at its top, so machines will skip it; pack meta.json as well"},
		},
		{"first_run", "./first.sh", []entry{program("first.sh", "#!/bin/sh\n"), file("meta.json", "{}")}, nil},
		{"first_run missing", "first.sh", []entry{file("meta.json", "{}")}, []string{"first_run names first.sh, which is not in the archive"}},
		{"first_run not executable", "first.sh", []entry{file("meta.json", "{}"), file("first.sh", "")}, []string{"first_run names first.sh, which is not executable"}},
		{"setgid folder", "", []entry{{name: "d/", kind: tar.TypeDir, mode: 0o2755}}, []string{"folders with the setuid or setgid bit, which is dropped on machines: d"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := runScript
			e.FirstRun = tc.firstRun
			if diff := cmp.Diff(tc.want, accept(t, makeArchive(t, append(tc.entries, run())...), e).Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
	odd := archive.Expect{Entrypoint: "x", Platform: runScript.Platform}
	if w := accept(t, makeArchive(t, program("x", "echo no interpreter\n")), odd).Warnings; len(w) != 1 || !strings.Contains(w[0], "Linux cannot start it") {
		t.Errorf("no interpreter: %q", w)
	}
	if w := accept(t, makeArchive(t, program("x", "#!/bin/sh\r\necho\r\n")), odd).Warnings; len(w) != 1 || !strings.Contains(w[0], "carriage return") {
		t.Errorf("carriage return: %q", w)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 300_000)
	data := makeArchive(t, run(), file("a", zeros), file("b", zeros))
	for _, tc := range []struct {
		name   string
		limits archive.Limits
		want   string
	}{
		{"enough", archive.Limits{Compressed: int64(len(data)), Decompressed: 700_000, File: 300_000}, ""},
		{"file", archive.Limits{File: 299_999}, "a: has 300000 bytes, the limit for a file is 299999 bytes"},
		{"all files", archive.Limits{Decompressed: 599_999}, "b: brings the files to 600017 bytes, the limit is 599999 bytes"},
		{"tar", archive.Limits{Decompressed: 601_500}, "unpacks to more than 601500 bytes, the limit is 601500 bytes"},
		{"compressed", archive.Limits{Compressed: int64(len(data)) - 1}, fmt.Sprintf("has more than %d bytes compressed", len(data)-1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := runScript
			e.Limits = tc.limits
			if tc.want == "" {
				accept(t, data, e)
				return
			}
			refuse(t, data, e, tc.want)
		})
	}
}

func TestDefaultLimitsAreThoseOfTheWire(t *testing.T) {
	t.Parallel()
	// Headers alone claim the sizes; the stream ends behind them.
	claim := func(sizes ...int64) []byte {
		var buf bytes.Buffer
		for i, size := range sizes {
			w := tar.NewWriter(&buf)
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeReg, Size: size, Format: tar.FormatGNU}); err != nil {
				t.Fatal(err)
			}
		}
		return zip(t, buf.Bytes())
	}
	refuse(t, claim(25_000_000_001), runScript, "0: has 25.000000001 GB, the limit for a file is 25 GB")
	refuse(t, claim(250_000_000_001), runScript, "brings the files to 250.000000001 GB, the limit is 250 GB")
}
