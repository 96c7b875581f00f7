package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxSettingsSize is the largest modfarm.yaml accepted, in bytes.
const MaxSettingsSize = 64 << 10

// ParseSettings reads and checks modfarm.yaml; an empty file is the defaults. The
// error is Faults and lists everything that is wrong with its line. Unknown keys are
// faults: a setting that silently does nothing is worse than one that is refused.
func ParseSettings(data []byte) (*Settings, error) {
	if len(data) > MaxSettingsSize {
		return nil, Faults{{
			Problem: fmt.Sprintf("modfarm.yaml has %d bytes", len(data)),
			Advice:  fmt.Sprintf("keep it under %d", MaxSettingsSize),
		}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return DefaultSettings(), nil
	}
	if err != nil {
		return nil, Faults{yamlSyntaxFault(err)}
	}
	r := &yamlReader{}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		r.faults.add(Fault{Problem: "holds more than one document", Advice: "remove the --- and what follows it"})
	}
	s := r.settings(doc.Content[0])
	if err := r.faults.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// yamlSyntaxFault takes the line out of the library's message.
func yamlSyntaxFault(err error) Fault {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	f := Fault{Advice: "indent with spaces, and quote values that hold : or #"}
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		// The expression only matches digits; too many of them leave the line unknown.
		f.Line, _ = strconv.Atoi(m[1])
		message = strings.TrimPrefix(message, m[0])
	}
	f.Problem = "broken YAML: " + message
	return f
}

func (r *yamlReader) settings(n *yaml.Node) *Settings {
	s := DefaultSettings()
	fields := r.mapping("", n, "publish", "strategy", "memory", "timeouts", "network", "caches", "smoke")
	if v, ok := r.text("publish", fields["publish"]); ok {
		s.Publish = Publish(v)
		if s.Publish != PublishEach && s.Publish != PublishAll {
			r.choice("publish", fields["publish"], "not a way to publish", string(PublishEach), string(PublishAll))
		}
	}
	s.Strategies = r.strategies(fields["strategy"])
	s.Memory = r.memory(fields["memory"])
	s.Timeouts = r.timeouts(fields["timeouts"])
	steps := r.mapping("network", fields["network"], "setup", "build")
	r.policy("network.setup", steps["setup"], &s.Network.Setup)
	r.policy("network.build", steps["build"], &s.Network.Build)
	s.Caches = r.folders("caches", fields["caches"])
	s.Smoke, _ = r.text("smoke", fields["smoke"])
	return s
}

func (r *yamlReader) strategies(n *yaml.Node) map[Platform]Strategy {
	var out map[Platform]Strategy
	seen := map[Platform]bool{}
	for key, value := range r.pairs("strategy", n, "write one line per platform, such as linux/arm64: cross") {
		at := "strategy." + key.Value
		p, err := ParsePlatform(key.Value)
		switch {
		case err != nil:
			r.err(at, key, err)
			continue
		case p.IsWildcard():
			r.fault(at, key, Fault{Value: key.Value, Problem: "is a wildcard", Advice: "name each platform"})
			continue
		case seen[p]:
			r.fault(at, key, Fault{Problem: "stands there twice", Advice: "remove one of the two"})
			continue
		}
		seen[p] = true
		text, ok := r.text(at, value)
		if !ok {
			continue
		}
		strategy, err := ParseStrategy(text)
		if err != nil {
			r.err(at, value, err)
		} else if strategy != StrategyAuto {
			if out == nil {
				out = map[Platform]Strategy{}
			}
			out[p] = strategy
		}
	}
	return out
}

func (r *yamlReader) timeouts(n *yaml.Node) Timeouts {
	fields := r.mapping("timeouts", n, "setup", "build", "total")
	t := Timeouts{
		Setup: r.duration("timeouts.setup", fields["setup"]),
		Build: r.duration("timeouts.build", fields["build"]),
		Total: r.duration("timeouts.total", fields["total"]),
	}
	if t.Total > 0 && (t.Setup > t.Total || t.Build > t.Total) {
		r.fault("timeouts.total", fields["total"], Fault{
			Value: t.Total.String(), Problem: "is shorter than a step alone may take", Advice: "raise it, or lower the step's",
		})
	}
	return t
}

func (r *yamlReader) duration(at string, n *yaml.Node) time.Duration {
	n = resolve(n)
	if isNull(n) {
		return 0
	}
	const advice = "write a number with its unit, such as 90s, 15m or 1h30m"
	if n.Kind != yaml.ScalarNode {
		r.wrongType(at, n, "a duration", advice)
		return 0
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil {
		if _, isNumber := strconv.Atoi(n.Value); isNumber == nil {
			r.fault(at, n, Fault{Value: n.Value, Problem: "has no unit", Advice: "write " + n.Value + "s or " + n.Value + "m"})
			return 0
		}
		r.fault(at, n, Fault{Value: n.Value, Problem: "not a duration", Advice: advice})
		return 0
	}
	if d <= 0 {
		r.fault(at, n, Fault{Value: n.Value, Problem: "is not more than zero", Advice: "remove it to get the worker's default"})
		return 0
	}
	return d
}

func (r *yamlReader) policy(at string, n *yaml.Node, into *NetworkPolicy) {
	text, ok := r.text(at, n)
	if !ok {
		return
	}
	switch p := NetworkPolicy(text); p {
	case NetworkFull, NetworkRegistries, NetworkNone:
		*into = p
	default:
		r.choice(at, n, "not a network policy", string(NetworkFull), string(NetworkRegistries), string(NetworkNone))
	}
}

// folders reads a list of folders in the workdir, cleaned.
func (r *yamlReader) folders(at string, n *yaml.Node) []string {
	var out []string
	for i, element := range r.elements(at, n) {
		here := indexed(at, i)
		text, ok := r.text(here, element)
		if !ok {
			if isNull(resolve(element)) {
				r.wrongType(here, resolve(element), "a string", "remove it")
			}
			continue
		}
		if err := CheckRelative(text, "the workdir"); err != nil {
			r.err(here, element, err)
			continue
		}
		text = path.Clean(text)
		if slices.Contains(out, text) {
			r.fault(here, element, Fault{Value: text, Problem: "stands there twice", Advice: "remove one of the two"})
			continue
		}
		out = append(out, text)
	}
	return out
}

var memorySize = regexp.MustCompile(`^([1-9][0-9]{0,8})(MiB|GiB)$`)

// memory reads a size, in bytes.
func (r *yamlReader) memory(n *yaml.Node) int64 {
	text, ok := r.text("memory", n)
	if !ok {
		return 0
	}
	m := memorySize.FindStringSubmatch(text)
	if m == nil {
		r.fault("memory", n, Fault{Value: text, Problem: "not a size", Advice: "write a whole number with its unit, such as 512MiB or 4GiB"})
		return 0
	}
	size, _ := strconv.ParseInt(m[1], 10, 64) // the expression only matches numbers that fit
	if m[2] == "GiB" {
		return size << 30
	}
	return size << 20
}
