package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestFaults is the short form of `make faults`: cases that need no rights of root and no minutes.
func TestFaults(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLab(t.Context(), root, "", testOutput{t})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	for _, f := range faults() {
		if !f.short {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // each has a farm of its own, and most of it is waiting
			noticed, err := l.try(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("noticed after %.1f s", noticed.Seconds())
			// What the product promises, with room for a machine on which other tests run.
			if slack := 5 * f.within; f.within > 0 && noticed > slack {
				t.Errorf("noticed after %s, should have been within %s", noticed, f.within)
			}
		})
	}
}

// testOutput is a test's log as a writer of lines.
type testOutput struct{ t *testing.T }

// Write implements io.Writer.
func (o testOutput) Write(p []byte) (int, error) {
	o.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// TestCasesAreNamedOnce keeps the rows of the table apart.
func TestCasesAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults() {
		if seen[f.name] || f.does == "" || f.then == "" || f.run == nil {
			t.Errorf("the case %q is there twice, or says too little", f.name)
		}
		seen[f.name] = true
	}
}
