package main

import (
	"bufio"
	"errors"
	"strings"
	"testing"
)

func TestPromptAsksAgain(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := &prompter{bufio.NewReader(strings.NewReader("  \nbasic\n go \n")), &out}
	if got, err := p.ask("Name", "widget", func(string) error { return nil }); err != nil || got != "widget" {
		t.Errorf("an empty answer is %q, %v; want what was offered", got, err)
	}
	got, err := p.ask("Language", "", func(s string) error {
		if s != "go" {
			return errors.New("there is no template for " + s)
		}
		return nil
	})
	if err != nil || got != "go" {
		t.Errorf("answer = %q, %v, want go", got, err)
	}
	if want := "Name [widget]: Language:   there is no template for basic\nLanguage: "; out.String() != want {
		t.Errorf("asked %q, want %q", out.String(), want)
	}
	if _, err := p.ask("More", "offered", func(string) error { return nil }); err == nil {
		t.Error("the end of the input was taken for an answer")
	}
}
