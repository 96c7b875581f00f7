package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// suggestionDistance is how many slips of the keyboard a suggestion forgives.
const suggestionDistance = 2

// unknownCommand is the mistake when args name a command that does not exist.
// Left to itself, cobra shows the help of a group of commands and calls that a
// success.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	if len(args) > 0 && args[0] == "help" {
		args = args[1:]
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if cmd == nil || cmd.Runnable() || !cmd.HasSubCommands() {
		return nil // with an error of Find, too: it is about the root, which is a group
	}
	if err != nil {
		rest = args
	}
	for _, word := range rest {
		if strings.HasPrefix(word, "-") {
			continue
		}
		cmd.SuggestionsMinimumDistance = suggestionDistance
		unknown := usageError{fmt.Errorf("unknown command %q for '%s'", word, cmd.CommandPath())}
		if near := cmd.SuggestionsFor(word); len(near) > 0 {
			return hinted(unknown, "did you mean %s? See '%s --help'", strings.Join(near, " or "), cmd.CommandPath())
		}
		return hinted(unknown, "see '%s --help'", cmd.CommandPath())
	}
	return nil
}

// exactArgs is cobra's, with the mistake marked as one of usage.
func exactArgs(n int) cobra.PositionalArgs { return checkedArgs(cobra.ExactArgs(n)) }

// maximumArgs is cobra's, with the mistake marked as one of usage.
func rangeArgs(from, to int) cobra.PositionalArgs { return checkedArgs(cobra.RangeArgs(from, to)) }

func maximumArgs(n int) cobra.PositionalArgs { return checkedArgs(cobra.MaximumNArgs(n)) }

func checkedArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return hinted(usageError{err}, "usage: %s", cmd.UseLine())
		}
		return nil
	}
}
