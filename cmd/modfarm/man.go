package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan is for those who package the program; its pages are in the packages.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man FOLDER",
		Short:  "Write the manual pages of all commands into a folder",
		Hidden: true,
		Args:   exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			for name, page := range manPages(cmd.Root()) {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(page), 0o644); err != nil { //nolint:gosec // for everybody
					return err
				}
			}
			return nil
		},
	}
}

// manPages are the manual pages of a command and of those below it, by the names
// of their files. They depend on the commands and on the version of the program
// alone: on no date and no machine.
func manPages(root *cobra.Command) map[string]string {
	root.InitDefaultCompletionCmd()
	pages := map[string]string{}
	walk(root, func(cmd *cobra.Command) {
		pages[manName(cmd)+".1"] = manPage(cmd)
	})
	return pages
}

// walk visits the commands that people are told of, in the order of the help.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			walk(sub, visit)
		}
	}
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is the manual page of one command, in the macros of man(7).
func manPage(cmd *cobra.Command) string {
	var page strings.Builder
	fmt.Fprintf(&page, ".TH %q 1 \"\" %q \"Modfarm\"\n", strings.ToUpper(manName(cmd)), "modfarm "+version())
	fmt.Fprintf(&page, ".SH NAME\n%s \\- %s\n", roff(manName(cmd)), roff(strings.TrimSuffix(cmd.Short, ".")))
	fmt.Fprintf(&page, ".SH SYNOPSIS\n.nf\n%s\n.fi\n", manSynopsis(cmd))
	page.WriteString(".SH DESCRIPTION\n")
	writeProse(&page, cmp.Or(cmd.Long, cmd.Short+"."))
	if len(cmd.Aliases) > 0 {
		writeProse(&page, "Another name: "+strings.Join(cmd.Aliases, ", "))
	}
	writeOptions(&page, "OPTIONS", cmd.NonInheritedFlags())
	writeOptions(&page, "OPTIONS OF EVERY COMMAND", cmd.InheritedFlags())
	if cmd.Example != "" {
		fmt.Fprintf(&page, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(unindent(cmd.Example)))
	}
	if others := neighbours(cmd); len(others) > 0 {
		fmt.Fprintf(&page, ".SH SEE ALSO\n%s\n", strings.Join(others, ",\n"))
	}
	return page.String()
}

func manSynopsis(cmd *cobra.Command) string {
	if !cmd.Runnable() {
		return roff(cmd.CommandPath()) + " COMMAND [flags]"
	}
	return roff(cmd.UseLine())
}

// writeProse writes paragraphs; what is indented is a table or a command, and
// stays as it is.
func writeProse(page *strings.Builder, text string) {
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		if strings.HasPrefix(paragraph, "  ") || strings.HasPrefix(paragraph, "\t") {
			fmt.Fprintf(page, ".PP\n.RS 4\n.nf\n%s\n.fi\n.RE\n", roff(unindent(paragraph)))
			continue
		}
		fmt.Fprintf(page, ".PP\n%s\n", roff(paragraph))
	}
}

func writeOptions(page *strings.Builder, heading string, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		name, ok := twin(f)
		if !ok || f.Hidden {
			return
		}
		if heading != "" {
			fmt.Fprintf(page, ".SH %s\n", heading)
			heading = ""
		}
		flag := `\fB` + roff("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			flag = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + flag
		}
		if f.Value.Type() != "bool" {
			flag += ` \fIvalue\fR`
		}
		meaning, given := defaultOf(f)
		if given != "" {
			meaning += " (default " + given + ")"
		}
		fmt.Fprintf(page, ".TP\n%s\n%s; in the environment \\fB%s\\fR\n", flag, literal.ReplaceAllString(roff(meaning), `\fB$1\fR`), name)
	})
}

// literal is what a text of Markdown marks as such.
var literal = regexp.MustCompile("`([^`]*)`")

// defaultOf divides the text of a flag into its meaning, without its twin, and
// its default. What depends on the machine is said in words.
func defaultOf(f *pflag.Flag) (meaning, given string) {
	name, _ := twin(f)
	usage := strings.TrimSuffix(f.Usage, " [$"+name+"]")
	if text, words, found := strings.Cut(usage, " (default "); found {
		return text, strings.TrimSuffix(words, ")")
	}
	inWords := map[string]string{
		"data": "`/var/lib/modfarm` for root, else `modfarm` in the user's data folder",
		"work": "`work` in the default of `--data`", "slots": "the machine's processors",
		"image-cache": "`/var/cache/modfarm/images` for root, else `modfarm/images` in the user's cache folder",
		"platform":    "this machine's",
	}
	switch {
	case f.DefValue == "" || f.DefValue == "[]" || f.DefValue == "false":
		return usage, ""
	case inWords[f.Name] != "":
		return usage, inWords[f.Name]
	}
	return usage, "`" + f.DefValue + "`"
}

// neighbours are the pages of the command above, and of those below.
func neighbours(cmd *cobra.Command) []string {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, manName(cmd.Parent()))
	}
	walk(cmd, func(sub *cobra.Command) {
		if sub.HasParent() && sub.Parent() == cmd {
			pages = append(pages, manName(sub))
		}
	})
	for i, name := range pages {
		pages[i] = `\fB` + roff(name) + `\fR(1)`
	}
	return slices.Compact(pages)
}

// unindent takes from each line the indentation of the first.
func unindent(text string) string {
	text = strings.Trim(text, "\n")
	indentation := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], indentation)
	}
	return strings.Join(lines, "\n")
}

// roff writes text so that nothing in it is an order to the formatter, and so
// that what is copied from a page is what was written.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "…", "...").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
