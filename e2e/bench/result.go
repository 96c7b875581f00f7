package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// unit says how a quantity is written, and how exactly.
type unit struct {
	name     string // in JSON
	format   func(float64) string
	decimals int
}

func ratios() unit {
	return unit{"ratio", func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + "x" }, 2}
}

func addedSeconds() unit {
	return unit{"added seconds", func(v float64) string { return fmt.Sprintf("%+.2fs", v) }, 2}
}

func mebibytes() unit {
	return unit{"MiB", func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) + "MiB" }, 0}
}

func percents() unit {
	return unit{"percent of a core", func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + "%" }, 2}
}

func perSecond() unit {
	return unit{"per second", func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) + "/s" }, 0}
}

func milliseconds() unit {
	return unit{"ms", func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "ms" }, 1}
}

// result is what a measure found, and its goal.
type result struct {
	value, bound float64
	unit         unit
	atLeast      bool // the bound is a lower one
	// samples are what the value was made of, a list of numbers by what they are;
	// seconds where the name says nothing else.
	samples map[string][]float64
}

// ok judges the numbers as they are printed, so that a line never contradicts
// itself.
func (r result) ok() bool {
	scale := math.Pow10(r.unit.decimals)
	value, bound := math.Round(r.value*scale), math.Round(r.bound*scale)
	if r.atLeast {
		return value >= bound
	}
	return value <= bound
}

// String is the line without its beginning.
func (r result) String() string {
	verdict := "short"
	if r.ok() {
		verdict = "ok"
	}
	return r.unit.format(r.value) + " goal " + r.unit.format(r.bound) + " " + verdict
}

// fields are what -json prints.
func (r result) fields(name string) map[string]any {
	goal := "at most"
	if r.atLeast {
		goal = "at least"
	}
	return map[string]any{
		"name": name, "value": r.value, "goal": goal, "bound": r.bound, "unit": r.unit.name, "ok": r.ok(), "samples": r.samples,
	}
}

// median of a list that is not empty.
func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// paired is the median of what f makes of each round.
func paired(a, b []time.Duration, f func(a, b float64) float64) float64 {
	var list []float64
	for i := range min(len(a), len(b)) {
		list = append(list, f(a[i].Seconds(), b[i].Seconds()))
	}
	return median(list)
}

func over(a, b float64) float64  { return a / b }
func minus(a, b float64) float64 { return a - b }

func seconds(list []time.Duration) []float64 {
	out := make([]float64, len(list))
	for i, d := range list {
		out[i] = d.Seconds()
	}
	return out
}
