// Package module owns the nouns of Modfarm: what a module is called (ID), which
// version and platform of it is meant (Version, Platform), what its author wrote
// down about it (Manifest for meta.json, Settings for modfarm.yaml), what came out
// of a build (Release), and how a wrong input is described (Fault). It only parses,
// checks and prints; it never opens a file, a socket or a process.
package module
