package main

import (
	"strings"
	"testing"
)

// TestLockFolder lets one holder in at a time and names it to the other.
func TestLockFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := lockFolder("data", dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockFolder("data", dir)
	if err == nil || !strings.Contains(err.Error(), "--data") || !strings.Contains(err.Error(), "uses this folder") {
		t.Errorf("the second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockFolder("data", dir)
	if err != nil {
		t.Fatalf("after the first holder is gone: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWorkerName stays the same for one work folder and differs for another.
func TestWorkerName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := workerName(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := workerName(dir); err != nil || again != first {
		t.Errorf("again %q (%v), first %q", again, err, first)
	}
	if other, err := workerName(t.TempDir()); err != nil || other == first {
		t.Errorf("another folder's worker is %q (%v), too", other, err)
	}
}
