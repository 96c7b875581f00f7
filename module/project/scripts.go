package project

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"runtime"
	"strings"

	"github.com/modfarm/modfarm/module"
)

// called finds the files of the repository that a command line calls: ./name or ../name where a command
// may begin, or behind bash or sh.
var called = regexp.MustCompile(`(?:^|&&|\|\||[;\n(|])\s*(?:(?:bash|sh)\s+(?:-[a-z]+\s+)*)?(\.\.?/[\w./+-]+)`)

// viaShell tells that a file is given to a shell, which needs no executable bit.
var viaShell = regexp.MustCompile(`^\W*(?:bash|sh)\s`)

// scripts checks the files that a command line of meta.json calls.
func (c *checking) scripts(at, command string) {
	for _, match := range called.FindAllStringSubmatch(command, -1) {
		c.script(at, path.Clean(match[1]), viaShell.MatchString(match[0]))
	}
}

func (c *checking) script(at, file string, shell bool) {
	refuse := func(problem, advice string) {
		c.refuse(c.Manifest, module.Fault{Path: at, Value: file, Problem: problem, Advice: advice})
	}
	if above := strings.Count(file, "../"); above > 0 {
		if above > c.Up {
			refuse("leads out of the repository", "write it relative to the folder of meta.json, such as ./build.sh")
		}
		return // another folder of the repository, which this one cannot look into
	}
	info, err := c.Dir.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		refuse("does not exist", "write the script, or correct the path")
		return
	case err != nil:
		refuse("cannot be read: "+err.Error(), "make it a plain file of the repository")
		return
	case !info.Mode().IsRegular():
		refuse("is no plain file", "name the script itself")
		return
	}
	c.scriptText(file, info, shell)
}

// scriptText checks what would end a script at its first line.
func (c *checking) scriptText(file string, info fs.FileInfo, shell bool) {
	head, err := headOf(c.Dir, file)
	if err != nil {
		c.refuse(file, module.Fault{Problem: "cannot be read: " + err.Error(), Advice: "make it readable"})
		return
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	interpreter, asks := bytes.CutPrefix(line, []byte("#!"))
	text := bytes.IndexByte(head, 0) < 0
	switch {
	case text && bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		c.refuse(file, module.Fault{Line: 1, Problem: "begins with a byte order mark, so its first line is not understood", Advice: "save it as UTF-8 without BOM"})
	case text && bytes.Contains(head, []byte("\r\n")):
		c.refuse(file, module.Fault{
			Line: 1, Problem: "has Windows line ends, which a shell takes for part of each command",
			Advice: "run: sed -i 's/\\r$//' " + file + "; and keep git from bringing them back with '*.sh text eol=lf' in .gitattributes",
		})
	case text && !asks && !shell:
		c.warn(file, module.Fault{Line: 1, Problem: "does not say which program runs it", Advice: "begin it with #!/usr/bin/env bash"})
	}
	if shell || runtime.GOOS == "windows" || info.Mode()&0o111 != 0 {
		return
	}
	mend := module.Fault{Problem: "has no executable bit", Advice: "run: chmod +x " + file + "; with git also: git update-index --chmod=+x " + file}
	if name := string(interpreter); text && (!asks || strings.HasSuffix(strings.TrimSpace(name), "sh")) {
		mend.Problem += "; a farm runs it by bash all the same, other tools do not"
		c.warn(file, mend)
		return
	}
	c.refuse(file, mend)
}

// headOf is the beginning of a file: enough for its first lines.
func headOf(dir *os.Root, file string) ([]byte, error) {
	f, err := dir.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 4<<10)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}
