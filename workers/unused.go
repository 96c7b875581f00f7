package workers

import (
	"strings"

	"github.com/modfarm/modfarm/module"
)

// unusedSettings names the keys of modfarm.yaml that are set and that nothing acts on yet; empty when there are none.
// The author is told, since a setting that silently does nothing misleads.
func unusedSettings(s *module.Settings) string {
	var names []string
	if len(s.Caches) > 0 {
		names = append(names, "caches")
	}
	if s.Smoke != "" {
		names = append(names, "smoke")
	}
	if len(s.Snapshot) > 0 {
		names = append(names, "snapshot")
	}
	return strings.Join(names, ", ")
}
