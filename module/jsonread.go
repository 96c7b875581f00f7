package module

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// jsonValue is one JSON value with its place in the file, so that a fault can name
// the line. A value whose raw is nil is absent.
type jsonValue struct {
	raw json.RawMessage
	at  int // offset of raw's first byte in the file
}

// absent reports whether there is nothing to read. JSON's null counts as absent, as
// encoding/json treats it for every type that the stock command line decodes into.
func (v jsonValue) absent() bool { return len(v.raw) == 0 || string(v.raw) == "null" }

// kind names the type of the value in words.
func (v jsonValue) kind() string {
	if len(v.raw) == 0 {
		return "nothing"
	}
	switch v.raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// jsonReader takes a JSON file apart value by value and collects every fault on the
// way, where encoding/json would stop at the first.
type jsonReader struct {
	src    []byte
	faults Faults
}

// document checks the syntax of the whole file and returns its value; ok is false
// when the file is no JSON, which is the one fault that hides all others.
func (r *jsonReader) document() (v jsonValue, ok bool) {
	var raw json.RawMessage
	if err := json.Unmarshal(r.src, &raw); err != nil {
		r.faults.add(r.syntaxFault(err))
		return jsonValue{}, false
	}
	at := len(r.src) - len(bytes.TrimLeft(r.src, " \t\r\n"))
	return jsonValue{raw: bytes.TrimSpace(r.src), at: at}, true
}

func (r *jsonReader) syntaxFault(err error) Fault {
	if bytes.HasPrefix(r.src, []byte("\xef\xbb\xbf")) {
		return Fault{
			Line: 1, Problem: "broken JSON at 1:1: the file begins with a byte order mark",
			Advice: "save it as UTF-8 without BOM",
		}
	}
	if len(bytes.TrimSpace(r.src)) == 0 {
		return Fault{Problem: "the file is empty", Advice: `write at least {"module_id": "namespace:name"}`}
	}
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return Fault{Problem: "broken JSON: " + err.Error()}
	}
	// The offset counts the bytes read before the error, the offending one included.
	line, column := r.position(max(int(syntax.Offset)-1, 0))
	f := Fault{Line: line, Problem: fmt.Sprintf("broken JSON at %d:%d: %s", line, column, syntax.Error())}
	switch message := syntax.Error(); {
	case strings.Contains(message, "beginning of object key string"), strings.Contains(message, "character ']' looking for"):
		f.Advice = "remove the comma before it"
	case strings.Contains(message, "unexpected end"):
		f.Advice = "close every brace, bracket and quote"
	case strings.Contains(message, "after object key:value pair"), strings.Contains(message, "after array element"):
		f.Advice = "write a comma between the values"
	case strings.Contains(message, "'/' looking for"):
		f.Advice = "remove comments; JSON has none"
	}
	return f
}

// position turns an offset into line and column, both from 1, columns in bytes.
func (r *jsonReader) position(offset int) (line, column int) {
	before := r.src[:min(offset, len(r.src))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// fault records a fault at a value.
func (r *jsonReader) fault(path string, v jsonValue, f Fault) {
	f.Path = path
	if len(v.raw) > 0 {
		f.Line, _ = r.position(v.at)
	}
	r.faults.add(f)
}

// err records an error of one of the Parse functions at a value.
func (r *jsonReader) err(path string, v jsonValue, err error) {
	var f Fault
	if !errors.As(err, &f) {
		f = Fault{Problem: err.Error()}
	}
	r.fault(path, v, f)
}

// wrongType records that a value has another type than wanted.
func (r *jsonReader) wrongType(path string, v jsonValue, want, advice string) {
	r.fault(path, v, Fault{Value: string(v.raw), Problem: "is " + v.kind() + ", not " + want, Advice: advice})
}

// object splits an object into the known keys, found as encoding/json finds them
// (exactly, else ignoring case; the last one wins), and the others as they stand.
func (r *jsonReader) object(path string, v jsonValue, known ...string) (map[string]jsonValue, map[string]json.RawMessage) {
	if v.absent() {
		return nil, nil
	}
	if v.raw[0] != '{' {
		r.wrongType(path, v, "an object", "write it within braces")
		return nil, nil
	}
	fields := make(map[string]jsonValue, len(known))
	var unknown map[string]json.RawMessage
	for key, value := range members(v) {
		if name := matchKey(key, known); name != "" {
			fields[name] = value
			continue
		}
		if unknown == nil {
			unknown = map[string]json.RawMessage{}
		}
		unknown[key] = bytes.Clone(value.raw)
	}
	return fields, unknown
}

func matchKey(key string, known []string) string {
	folded := ""
	for _, name := range known {
		if key == name {
			return name
		}
		if strings.EqualFold(key, name) {
			folded = name
		}
	}
	return folded
}

// members yields the members of an object in the order of the file. The syntax was
// checked before, so errors cannot occur and only end the sequence.
func members(v jsonValue) func(yield func(string, jsonValue) bool) {
	return func(yield func(string, jsonValue) bool) {
		dec := json.NewDecoder(bytes.NewReader(v.raw))
		if _, err := dec.Token(); err != nil {
			return
		}
		for dec.More() {
			token, err := dec.Token()
			key, isString := token.(string)
			if err != nil || !isString {
				return
			}
			value, ok := v.next(dec)
			if !ok || !yield(key, value) {
				return
			}
		}
	}
}

// next decodes the value that follows in v.
func (v jsonValue) next(dec *json.Decoder) (jsonValue, bool) {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return jsonValue{}, false
	}
	return jsonValue{raw: raw, at: v.at + int(dec.InputOffset()) - len(raw)}, true
}

// list splits a list into its elements.
func (r *jsonReader) list(path string, v jsonValue) []jsonValue {
	if v.absent() {
		return nil
	}
	if v.raw[0] != '[' {
		r.wrongType(path, v, "a list", "write it within brackets")
		return nil
	}
	elements := []jsonValue{}
	dec := json.NewDecoder(bytes.NewReader(v.raw))
	if _, err := dec.Token(); err != nil {
		return elements
	}
	for dec.More() {
		element, ok := v.next(dec)
		if !ok {
			break
		}
		elements = append(elements, element)
	}
	return elements
}

// text reads a string; ok is false when it is absent or has another type.
func (r *jsonReader) text(path string, v jsonValue) (s string, ok bool) {
	if v.absent() {
		return "", false
	}
	if v.raw[0] != '"' {
		advice := "write it within quotes"
		if v.raw[0] == '{' || v.raw[0] == '[' {
			advice = "write a string"
		}
		r.wrongType(path, v, "a string", advice)
		return "", false
	}
	if err := json.Unmarshal(v.raw, &s); err != nil {
		r.err(path, v, err)
		return "", false
	}
	return s, true
}

// texts reads a list of strings; nil when it is absent, never nil when it is there.
func (r *jsonReader) texts(path string, v jsonValue) []string {
	elements := r.list(path, v)
	if elements == nil {
		return nil
	}
	out := make([]string, 0, len(elements))
	for i, element := range elements {
		at := indexed(path, i)
		if s, ok := r.text(at, element); ok {
			out = append(out, s)
		} else if element.absent() {
			r.wrongType(at, element, "a string", "remove it")
		}
	}
	return out
}

// indexed is the path of a list's element.
func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
