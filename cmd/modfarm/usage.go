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
	if cmd == nil || !cmd.HasSubCommands() {
		return nil // with an error of Find, too: it is about the root, which is a group
	}
	if err != nil {
		rest = args
	}
	for _, word := range rest {
		switch flag := strings.HasPrefix(word, "-"); {
		case flag && cmd.Runnable(): // what follows may be the flag's; exactArgs looks once the flags are read
			return nil
		case !flag:
			return noSuchCommand(cmd, word)
		}
	}
	return nil
}

// noSuchCommand is the mistake when a word that follows a group of commands is none of them.
func noSuchCommand(group *cobra.Command, word string) error {
	group.SuggestionsMinimumDistance = suggestionDistance
	unknown := usageError{fmt.Errorf("unknown command %q for '%s'", word, group.CommandPath())}
	if near := group.SuggestionsFor(word); len(near) > 0 {
		return hinted(unknown, "did you mean %s? See '%s --help'", strings.Join(near, " or "), group.CommandPath())
	}
	return hinted(unknown, "see '%s --help'", group.CommandPath())
}

// exactArgs is cobra's, with the mistake marked as one of usage. What a group of commands that itself runs is given too
// much is taken for a mistyped command.
func exactArgs(n int) cobra.PositionalArgs { return checkedArgs(cobra.ExactArgs(n)) }

// maximumArgs is cobra's, with the mistake marked as one of usage.
func rangeArgs(from, to int) cobra.PositionalArgs { return checkedArgs(cobra.RangeArgs(from, to)) }

func maximumArgs(n int) cobra.PositionalArgs { return checkedArgs(cobra.MaximumNArgs(n)) }

func checkedArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err != nil && cmd.HasSubCommands() {
			return noSuchCommand(cmd, args[0])
		}
		if err != nil {
			return hinted(usageError{err}, "usage: %s", cmd.UseLine())
		}
		return nil
	}
}
