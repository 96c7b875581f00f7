package main

import (
	"fmt"
	"os"
	"strings"
)

// The table stands between these lines of docs/reliability.md.
const (
	tableBegins = "<!-- Written by `make faults FAULTFLAGS=-update`; the rest of the page is not. -->\n"
	tableHead   = "| case | what is done | what comes of it | noticed after |\n|---|---|---|---|\n"
	tableEnds   = "<!-- The end of what is written. -->\n"
)

// updateTable writes the rows of outcomes into the page. Rows of cases that were not tried stay as they are, and
// those of cases that are no more go.
func updateTable(file string, outcomes []outcome) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableBegins)
	old, after, ends := strings.Cut(rest, tableEnds)
	if !ok || !ends {
		return fmt.Errorf("%s has no place for the table", file)
	}
	rows := map[string]string{}
	for line := range strings.Lines(old) {
		if cells := strings.Split(line, "`"); len(cells) > 1 && strings.HasPrefix(line, "| `") {
			rows[cells[1]] = line
		}
	}
	for _, o := range outcomes {
		rows[o.fault.name] = o.row()
	}
	var table strings.Builder
	table.WriteString(tableHead)
	for _, f := range faults() {
		table.WriteString(rows[f.name])
	}
	return os.WriteFile(file, []byte(before+tableBegins+table.String()+tableEnds+after), 0o644)
}

// row is the line of the table.
func (o outcome) row() string {
	noticed := fmt.Sprintf("%.1f s", o.noticed.Seconds())
	if o.fault.within > 0 {
		noticed += fmt.Sprintf(" (at most %.0f s)", o.fault.within.Seconds())
	}
	then := o.fault.then
	if o.err != nil {
		then = "**lost**"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", o.fault.name, o.fault.does, then, noticed)
}
