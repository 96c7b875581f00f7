package module

import "strings"

// Strategy says how a platform is built. The zero value lets the farm choose.
type Strategy string

// The strategies, from the most to the least wanted.
const (
	// StrategyAuto lets the farm choose: native, then cross, then QEMU.
	StrategyAuto Strategy = ""
	// StrategyNative builds on a worker of the platform itself.
	StrategyNative Strategy = "native"
	// StrategyCross builds in a container of the worker's platform with a cross compiler.
	StrategyCross Strategy = "cross"
	// StrategyQEMU builds in a container of the target platform under emulation.
	StrategyQEMU Strategy = "qemu"
)

// ParseStrategy reads native, cross, qemu, auto or nothing (the same as auto).
// The error is a Fault without a Path.
func ParseStrategy(s string) (Strategy, error) {
	switch Strategy(s) {
	case StrategyNative, StrategyCross, StrategyQEMU, StrategyAuto:
		return Strategy(s), nil
	case "auto":
		return StrategyAuto, nil
	}
	return "", Fault{
		Value: s, Problem: "not a strategy",
		Advice: choose(s, "native", "cross", "qemu", "auto"),
	}
}

// String is the strategy's name; "auto" for the zero value.
func (s Strategy) String() string {
	if s == StrategyAuto {
		return "auto"
	}
	return string(s)
}

// choose is the advice for a value that should have been one of names: the nearest
// of them when it looks like a slip, all of them otherwise.
func choose(got string, names ...string) string {
	if near := nearest(got, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "use one of " + strings.Join(names, ", ")
}

// nearest finds the name that got is most likely a slip of; empty when none is near.
func nearest(got string, names []string) string {
	const longest = 64 // the distance below is quadratic; nobody slips on longer names
	if got == "" || len(got) > longest {
		return ""
	}
	best, bestDistance := "", 3
	for _, name := range names {
		d := editDistance(strings.ToLower(got), strings.ToLower(name))
		if d < bestDistance && d < len(name)/2+1 {
			best, bestDistance = name, d
		}
	}
	return best
}

// editDistance counts the single-letter edits between a and b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
