package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// prompter asks somebody at a terminal.
type prompter struct {
	in  *bufio.Reader
	out io.Writer
}

// newPrompter is nil when nobody is there to answer.
func newPrompter(in io.Reader, out io.Writer) *prompter {
	if file, ok := in.(*os.File); !ok || !isTerminal(file) {
		return nil
	}
	return &prompter{bufio.NewReader(in), out}
}

// ask repeats a question until check accepts the answer. An empty answer is the one offered.
func (p *prompter) ask(question, offered string, check func(string) error) (string, error) {
	for {
		fmt.Fprint(p.out, question)
		if offered != "" {
			fmt.Fprintf(p.out, " [%s]", offered)
		}
		fmt.Fprint(p.out, ": ")
		line, err := p.in.ReadString('\n')
		answer := strings.TrimSpace(line)
		if answer == "" {
			answer = offered
		}
		if err != nil && strings.TrimSpace(line) == "" {
			fmt.Fprintln(p.out)
			return "", errors.New("the questions were left without an answer: nothing was made")
		}
		if err := check(answer); err != nil {
			fmt.Fprintln(p.out, " ", err)
			continue
		}
		return answer, nil
	}
}
