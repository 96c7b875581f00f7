package problems_test

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/modfarm/modfarm/module/problems"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log     string
		workdir string
		want    []problems.Problem
	}{
		"gcc and clang": {
			"cc -c src/main.c\nsrc/main.c: In function 'main':\nsrc/main.c:12:5: error: unknown type name 'foo'\n" +
				"/usr/include/stdio.h:1:2: error: of the system\n./src/util.h:3:1: warning: unused\nmain.c:9: fatal error: x.h: No such file\n", ".",
			[]problems.Problem{
				{Path: "src/main.c", Line: 12, Message: "unknown type name 'foo'"},
				{Path: "src/util.h", Line: 3, Message: "unused", Warning: true},
				{Path: "main.c", Line: 9, Message: "x.h: No such file"},
			},
		},
		"go in a folder": {
			"# example.com/widget\n./main.go:7:2: undefined: foo\n./main.go:7:2: undefined: foo\nvet: lib/a.go:3:1: unreachable code\n/usr/local/go/src/fmt/print.go:1:1: no\n", "modules/widget",
			[]problems.Problem{
				{Path: "modules/widget/main.go", Line: 7, Message: "undefined: foo"},
				{Path: "modules/widget/lib/a.go", Line: 3, Message: "unreachable code"},
			},
		},
		"absolute in the workspace, in colour": {
			"\x1b[1m/workspace/a/b.cc:4:1: \x1b[31merror: \x1b[0mexpected ';'\r\n", "a",
			[]problems.Problem{{Path: "a/b.cc", Line: 4, Message: "expected ';'"}},
		},
		"cmake": {
			"CMake Error at CMakeLists.txt:7 (find_package):\n  Could not find OpenSSL\n\nCMake Warning (dev) at cmake/x.cmake:2 (set):\n\n  old\n", ".",
			[]problems.Problem{
				{Path: "CMakeLists.txt", Line: 7, Message: "Could not find OpenSSL"},
				{Path: "cmake/x.cmake", Line: 2, Message: "old", Warning: true},
			},
		},
		"rust": {
			"error[E0425]: cannot find value `x` in this scope\n --> src/main.rs:2:5\n  |\nwarning: unused variable\n --> src/lib.rs:9:1\nerror: aborting due to 1 previous error\n", ".",
			[]problems.Problem{
				{Path: "src/main.rs", Line: 2, Message: "cannot find value `x` in this scope"},
				{Path: "src/lib.rs", Line: 9, Message: "unused variable", Warning: true},
			},
		},
		"python": {
			"Traceback (most recent call last):\n  File \"/workspace/setup.py\", line 3, in <module>\n    import x\n" +
				"  File \"/usr/lib/python3/x.py\", line 9, in <module>\n    y()\nModuleNotFoundError: No module named 'x'\n", ".",
			[]problems.Problem{{Path: "setup.py", Line: 3, Message: "ModuleNotFoundError: No module named 'x'"}},
		},
		"what climbs out":     {"../../etc/passwd:1:1: error: no\n", ".", nil},
		"a very long line":    {strings.Repeat("x", 1<<20) + "\nmain.c:1:1: error: after it\n", ".", []problems.Problem{{Path: "main.c", Line: 1, Message: "after it"}}},
		"no number":           {"main.c:99999999999999999999:1: error: no\n", ".", nil},
		"times and addresses": {"12:30:45: error: late\nhttp://host:80: error: down\n", ".", nil},
	} {
		for _, piece := range []int{1, 7, 1 << 21} {
			found := problems.New(c.workdir)
			for rest := c.log; rest != ""; rest = rest[min(piece, len(rest)):] {
				if _, err := io.WriteString(found, rest[:min(piece, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, found.Problems()); diff != "" {
				t.Errorf("%s, in pieces of %d (-want +got):\n%s", name, piece, diff)
			}
		}
	}
}
