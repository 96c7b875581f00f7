package workers_test

import (
	"strings"
	"testing"

	"github.com/modfarm/modfarm/workers"
)

// TestTellingLine holds what is told of a failure against the outputs of real tools.
func TestTellingLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ output, want string }{
		"gcc by make": {`cc -c main.c -o main.o
main.c: In function ‘main’:
main.c:2:33: error: ‘undefined_thing’ undeclared (first use in this function)
    2 | int main(void) { printf("%d\n", undefined_thing); }
      |                                 ^~~~~~~~~~~~~~~
main.c:2:33: note: each undeclared identifier is reported only once for each function it appears in
make: *** [Makefile:2: all] Error 1
`, "main.c:2:33: error: ‘undefined_thing’ undeclared (first use in this function)"},
		"gcc, several errors": {`main.c:2:33: error: ‘a’ undeclared (first use in this function)
main.c:3:9: error: ‘b’ undeclared (first use in this function)
    3 |  return b;
      |         ^
make[2]: *** [Makefile:2: main.o] Error 1
make[1]: *** Waiting for unfinished jobs....
make: *** [Makefile:9: all] Error 2
`, "main.c:3:9: error: ‘b’ undeclared (first use in this function)"},
		"gcc, a header": {`h.c:1:10: fatal error: nosuch.h: No such file or directory
    1 | #include <nosuch.h>
      |          ^~~~~~~~~~
compilation terminated.
`, "h.c:1:10: fatal error: nosuch.h: No such file or directory"},
		"gcc in colours": {
			"\x1b[01m\x1b[Kmain.c:2:33:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kexpected ‘;’ before ‘return’\n    2 | x\n",
			"main.c:2:33: error: expected ‘;’ before ‘return’",
		},
		"ld": {`/usr/bin/ld: /tmp/ccE0F1Td.o: in function ` + "`main':" + `
l.c:(.text+0x5): undefined reference to ` + "`foo'" + `
collect2: error: ld returned 1 exit status
make: *** [Makefile:2: all] Error 1
`, "l.c:(.text+0x5): undefined reference to `foo'"},
		"ld, a library": {`/usr/bin/ld: cannot find -lsensor: No such file or directory
collect2: error: ld returned 1 exit status
`, "/usr/bin/ld: cannot find -lsensor: No such file or directory"},
		"clang": {`main.c:2:33: error: use of undeclared identifier 'undefined_thing'
    2 | int main(void) { return undefined_thing; }
      |                         ^~~~~~~~~~~~~~~
1 error generated.
`, "main.c:2:33: error: use of undeclared identifier 'undefined_thing'"},
		"clang, linking": {`/usr/bin/ld: /tmp/l-1f.o: in function ` + "`main':" + `
l.c:(.text+0x10): undefined reference to ` + "`foo'" + `
clang: error: linker command failed with exit code 1 (use -v to see invocation)
`, "l.c:(.text+0x10): undefined reference to `foo'"},
		"go build": {`# example.com/sensor
./m.go:2:15: undefined: foo
./m.go:2:26: declared and not used: x
`, "./m.go:2:26: declared and not used: x"},
		"go build, too many": {`# example.com/sensor
./m.go:11:2: undefined: k
./m.go:11:2: too many errors
make: *** [Makefile:4: build] Error 1
`, "./m.go:11:2: too many errors"},
		"go, a module": {`go: downloading example.com/nosuch v1.0.0
main.go:3:8: no required module provides package example.com/nosuch; to add it:
	go get example.com/nosuch
`, "main.go:3:8: no required module provides package example.com/nosuch; to add it:"},
		"python traceback": {`Traceback (most recent call last):
  File "/workspace/src/build.py", line 1, in <module>
    import nosuch
ModuleNotFoundError: No module named 'nosuch'
`, "ModuleNotFoundError: No module named 'nosuch'"},
		"python syntax": {`  File "/workspace/src/s.py", line 1
    def f(:
          ^
SyntaxError: invalid syntax
`, "SyntaxError: invalid syntax"},
		"pip": {`Collecting nosuch==9
ERROR: Could not find a version that satisfies the requirement nosuch==9 (from versions: none)
ERROR: No matching distribution found for nosuch==9
[notice] A new release of pip is available: 24.0 -> 25.3
[notice] To update, run: pip install --upgrade pip
`, "ERROR: No matching distribution found for nosuch==9"},
		"cmake": {`-- The C compiler identification is GNU 12.2.0
CMake Error at CMakeLists.txt:3 (find_package):
  By not providing "FindSensor.cmake" in CMAKE_MODULE_PATH this project has
  asked CMake to find a package configuration file provided by "Sensor".

  Could not find a package configuration file.


-- Configuring incomplete, errors occurred!
See also "/workspace/src/build/CMakeFiles/CMakeOutput.log".
`, `CMake Error at CMakeLists.txt:3 (find_package): By not providing "FindSensor.cmake" in CMAKE_MODULE_PATH this project has ` +
			`asked CMake to find a package configuration file provided by "Sensor". Could n…`},
		"cmake, no project": {
			"CMake Error: The source directory \"/workspace/src\" does not appear to contain CMakeLists.txt.\nSpecify --help for usage, or press the help button on the CMake GUI.\n",
			`CMake Error: The source directory "/workspace/src" does not appear to contain CMakeLists.txt.`,
		},
		"bash":             {"one\n./build.sh: line 2: foo: command not found\n", "./build.sh: line 2: foo: command not found"},
		"dash by make":     {"sh: 1: protoc: not found\nmake: *** [Makefile:2: gen] Error 127\n", "sh: 1: protoc: not found"},
		"make, a rule":     {"make: *** No rule to make target 'nothere'.  Stop.\n", "make: *** No rule to make target 'nothere'.  Stop."},
		"make, a makefile": {"Bad.mk:2: *** missing separator.  Stop.\n", "Bad.mk:2: *** missing separator.  Stop."},
		"make, a program":  {"cc -c x.c\nmake: cc: No such file or directory\nmake: *** [Makefile:2: x.o] Error 127\n", "make: cc: No such file or directory"},
		"git":              {"Cloning into 'x'...\nfatal: repository '/nosuch' does not exist\n", "fatal: repository '/nosuch' does not exist"},
		"apt":              {"Reading package lists...\nE: Unable to locate package libnosuch-dev\n", "E: Unable to locate package libnosuch-dev"},
		"rust": {`error[E0425]: cannot find value ` + "`x`" + ` in this scope
 --> src/main.rs:1:13
error: could not compile ` + "`sensor` (bin \"sensor\")" + ` due to 1 previous error
`, "error[E0425]: cannot find value `x` in this scope"},
		"words of its own": {"go: downloading example.com/x v1.0.0\nthe sensor library is missing\n\n", "the sensor library is missing"},
		"an old error": {
			"conftest.c:3:1: error: unknown type name\n" + strings.Repeat("checking for a header... yes\n", 200) + "the sensor library is missing\n",
			"the sensor library is missing",
		},
		"progress":     {"10 %\r50 %\rgave up\n", "gave up"},
		"only by make": {"echo\nmake: *** [Makefile:2: all] Error 1\n", "make: *** [Makefile:2: all] Error 1"},
		"nothing":      {"\n \n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := workers.TellingLine(c.output); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
