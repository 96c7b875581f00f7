package module

import "time"

// Settings is a checked modfarm.yaml: what the farm may know about a module beyond
// meta.json. Make one with ParseSettings or DefaultSettings.
type Settings struct {
	// Publish says when the platforms of one version become visible.
	Publish Publish `json:"publish"`
	// Strategies names the strategy of a platform; absent ones are the farm's choice.
	Strategies map[Platform]Strategy `json:"strategies,omitempty"`
	// Memory is what building the module takes, in bytes; zero is the farm's default. A worker with less free memory
	// does not get it.
	Memory int64 `json:"memory,omitempty"`
	// Timeouts bound the steps.
	Timeouts Timeouts `json:"timeouts"`
	// Network says what the steps may reach.
	Network Network `json:"network"`
	// Caches are folders, relative to the workdir, kept between builds.
	Caches []string `json:"caches,omitempty"`
	// Smoke is a bash command line run in the unpacked archive before publishing; may be empty.
	Smoke string `json:"smoke,omitempty"`
}

// Timeouts bound the steps of a build; zero means the worker's default.
type Timeouts struct {
	Setup time.Duration `json:"setup,omitempty"`
	Build time.Duration `json:"build,omitempty"`
	Total time.Duration `json:"total,omitempty"`
}

// Network says what each step may reach.
type Network struct {
	Setup NetworkPolicy `json:"setup"`
	Build NetworkPolicy `json:"build"`
}

// NetworkPolicy is what a step may reach.
type NetworkPolicy string

// The network policies.
const (
	// NetworkFull lets a step reach every public address.
	NetworkFull NetworkPolicy = "full"
	// NetworkRegistries lets a step reach package registries only.
	NetworkRegistries NetworkPolicy = "registries"
	// NetworkNone cuts a step off.
	NetworkNone NetworkPolicy = "none"
)

// Publish says when the platforms of one version become visible.
type Publish string

// The ways to publish.
const (
	// PublishEach publishes every platform as soon as it is ready.
	PublishEach Publish = "each"
	// PublishAll publishes all platforms together when the last one is ready.
	PublishAll Publish = "all"
)

// DefaultSettings is what a module without modfarm.yaml gets.
func DefaultSettings() *Settings {
	return &Settings{
		Publish: PublishEach,
		Network: Network{Setup: NetworkFull, Build: NetworkFull},
	}
}
