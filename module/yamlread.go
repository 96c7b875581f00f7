package module

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlReader takes a YAML file apart node by node and collects every fault on the
// way. It follows aliases only one step at a time, so that a file of aliases to
// aliases costs nothing.
type yamlReader struct {
	faults Faults
}

// fault records a fault at a node.
func (r *yamlReader) fault(at string, n *yaml.Node, f Fault) {
	f.Path = at
	if n != nil {
		f.Line = n.Line
	}
	r.faults.add(f)
}

// err records an error of one of the Parse functions at a node.
func (r *yamlReader) err(at string, n *yaml.Node, err error) {
	var f Fault
	if !errors.As(err, &f) {
		f = Fault{Problem: err.Error()}
	}
	r.fault(at, n, f)
}

func (r *yamlReader) choice(at string, n *yaml.Node, problem string, names ...string) {
	value := resolve(n).Value
	r.fault(at, n, Fault{Value: value, Problem: problem, Advice: choose(value, names...)})
}

func (r *yamlReader) wrongType(at string, n *yaml.Node, want, advice string) {
	r.fault(at, n, Fault{Value: n.Value, Problem: "is " + kindOf(n) + ", not " + want, Advice: advice})
}

// kindOf names the type of a node in words.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!str":
		return "a string"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "empty"
	}
	return "of another type"
}

// resolve follows one alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// isNull reports whether there is nothing: no node, or one without a value.
func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == 0 || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// pairs yields the members of a mapping.
func (r *yamlReader) pairs(at string, n *yaml.Node, advice string) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		n := resolve(n)
		if isNull(n) {
			return
		}
		if n.Kind != yaml.MappingNode {
			r.wrongType(at, n, "a mapping", advice)
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := resolve(n.Content[i])
			if key.Kind != yaml.ScalarNode {
				r.wrongType(at, key, "a key", advice)
				continue
			}
			if !yield(key, n.Content[i+1]) {
				return
			}
		}
	}
}

// mapping reads a mapping whose keys are all known.
func (r *yamlReader) mapping(at string, n *yaml.Node, known ...string) map[string]*yaml.Node {
	fields := map[string]*yaml.Node{}
	for key, value := range r.pairs(at, n, "write one of "+strings.Join(known, ", ")+" with a colon") {
		here := key.Value
		if at != "" {
			here = at + "." + key.Value
		}
		if matchKey(key.Value, known) != key.Value {
			r.fault(here, key, Fault{Problem: "is not a known key", Advice: choose(key.Value, known...)})
			continue
		}
		if _, twice := fields[key.Value]; twice {
			r.fault(here, key, Fault{Problem: "stands there twice", Advice: "remove one of the two"})
			continue
		}
		fields[key.Value] = value
	}
	return fields
}

// elements reads a list.
func (r *yamlReader) elements(at string, n *yaml.Node) []*yaml.Node {
	n = resolve(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.wrongType(at, n, "a list", "write one line per element, beginning with -")
		return nil
	}
	return n.Content
}

// text reads a string; ok is false when it is absent or has another type.
func (r *yamlReader) text(at string, n *yaml.Node) (s string, ok bool) {
	n = resolve(n)
	if isNull(n) {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		r.wrongType(at, n, "a string", "write it within quotes")
		return "", false
	}
	return n.Value, true
}
