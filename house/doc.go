// Package house holds the tests that keep the tree in order: which package may import which, what the
// small programs must never link, what every package says about itself, and that the commands in the
// documentation exist. It has no code of its own, and nothing imports it.
package house
