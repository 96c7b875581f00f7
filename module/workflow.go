package module

import (
	"slices"
	"strings"
)

// WorkflowRun is what the key of a workflow run is bound to. It never changes.
type WorkflowRun struct {
	// Repository is the https address, as it is compared: "https://github.com/acme/widget".
	Repository string `json:"repository"`
	// Ref is as "refs/tags/v1.2.3"; Commit is what it named when the run began, and what builds are of.
	Ref    string `json:"ref"`
	Commit string `json:"commit"`
	// Version is what may be published; zero, for a run of a branch, is nothing.
	Version Version `json:"version,omitzero"`
	// Modules are those that the key is for: the farm keeps their names as the registry spells them, and tells ids,
	// since a namespace may change.
	Modules []string `json:"modules"`
	// RunID and Actor are for people, and absent from an exchange's answer.
	RunID string `json:"run_id,omitempty"`
	Actor string `json:"actor,omitempty"`
}

// Holds reports whether a module of the organization is one that the key is for, by its name.
func (w *WorkflowRun) Holds(name string) bool {
	return slices.ContainsFunc(w.Modules, func(m string) bool { return strings.EqualFold(m, name) })
}
