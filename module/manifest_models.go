package module

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Served is a model that a built module says it serves.
type Served struct {
	// API is the triple of the API, as "rdk:component:sensor".
	API string `json:"api"`
	// Model is the triple of the model, as "acme:weather:indoor".
	Model string `json:"model"`
}

// ReplaceModels makes the "models" of a meta.json what a module serves, and leaves
// every other byte as it was: order, indentation, line ends and keys that nobody
// knows. Entries of models that are still served stay as they are written, with
// their descriptions, where they are; new ones follow, sorted. When the models are
// the same already, data comes back unchanged. What is no JSON object gives Faults.
func ReplaceModels(data []byte, served []Served) ([]byte, error) {
	r := &jsonReader{src: data}
	doc, ok := r.document()
	if !ok {
		return nil, r.faults
	}
	if doc.raw[0] != '{' {
		r.wrongType("", doc, "an object", "write it within braces")
		return nil, r.faults
	}
	fields, _ := r.object("", doc, manifestKeys()...)
	old := fields["models"]
	elements := r.list("models", old)
	if err := r.faults.Err(); err != nil {
		return nil, err
	}
	kept, added := compareModels(elements, served)
	if len(added) == 0 && len(kept) == len(elements) && len(old.raw) > 0 {
		return data, nil
	}
	style := styleOf(data, doc)
	if len(old.raw) == 0 {
		at, before, after := style.place(doc, fields)
		key := before + `"models":` + style.space
		return splice(data, at, at, key+style.list(old, elements, nil, added)+after), nil
	}
	return splice(data, old.at, old.at+len(old.raw), style.list(old, elements, kept, added)), nil
}

func splice(data []byte, from, to int, text string) []byte {
	return slices.Concat(data[:from], []byte(text), data[to:])
}

// compareModels divides what is served into the elements that stay and what is new.
func compareModels(elements []jsonValue, served []Served) (kept []jsonValue, added []Served) {
	want := slices.Clone(served)
	slices.SortFunc(want, func(a, b Served) int { return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Model, b.Model)) })
	want = slices.Compact(want)
	var have []Served
	for _, element := range elements {
		var s Served
		if json.Unmarshal(element.raw, &s) != nil || !slices.Contains(want, s) || slices.Contains(have, s) {
			continue
		}
		have = append(have, s)
		kept = append(kept, element)
	}
	for _, s := range want {
		if !slices.Contains(have, s) {
			added = append(added, s)
		}
	}
	return kept, added
}

// jsonStyle is how a file is written.
type jsonStyle struct {
	src []byte
	// lead is what stands before the file's first key: a line end and an indentation,
	// or nothing when all is on one line.
	lead string
	// unit is one step of indentation; newline the end of a line, empty when all is on
	// one line; space what stands behind a colon.
	unit, newline, space string
}

func styleOf(src []byte, doc jsonValue) jsonStyle {
	s := jsonStyle{src: src, lead: blanksAt(doc.raw, 1), space: " "}
	if i := strings.LastIndexByte(s.lead, '\n'); i >= 0 {
		s.unit, s.newline = s.lead[i+1:], "\n"
		if strings.Contains(s.lead, "\r\n") {
			s.newline = "\r\n"
		}
	}
	for _, value := range members(doc) {
		if value.at > 0 && src[value.at-1] == ':' {
			s.space = ""
		}
		break
	}
	return s
}

// blanksAt is the white space at an offset.
func blanksAt(raw []byte, at int) string {
	rest := raw[at:]
	return string(rest[:len(rest)-len(bytes.TrimLeft(rest, " \t\r\n"))])
}

// place is where a file without models gets them, and what stands around: behind the
// description or what else is known to come before, and otherwise at the end.
func (s jsonStyle) place(doc jsonValue, fields map[string]jsonValue) (at int, before, after string) {
	gap := "," + s.lead
	if s.newline == "" {
		gap = "," + s.space
	}
	for _, key := range []string{"description", "url", "visibility", "module_id"} {
		if v := fields[key]; len(v.raw) > 0 {
			return v.at + len(v.raw), gap, ""
		}
	}
	var last jsonValue
	for _, value := range members(doc) {
		last = value
	}
	if len(last.raw) > 0 {
		return last.at + len(last.raw), gap, ""
	}
	if s.newline == "" {
		return doc.at + 1, "", ""
	}
	return doc.at + 1, s.newline + s.unit, s.newline
}

// list writes the models in the way of the list that was there, or of the file.
func (s jsonStyle) list(old jsonValue, elements, kept []jsonValue, added []Served) string {
	lead, between, end := s.newline+s.unit+s.unit, "", s.newline+s.unit
	if s.newline == "" {
		lead, end = "", ""
	}
	if len(elements) > 0 {
		first, last := elements[0], elements[len(elements)-1]
		lead = string(s.src[old.at+1 : first.at])
		end = string(s.src[last.at+len(last.raw) : old.at+len(old.raw)-1])
		if len(elements) > 1 {
			between = string(s.src[first.at+len(first.raw) : elements[1].at])
		}
	}
	if between == "" {
		between = "," + lead
		if lead == "" {
			between = "," + s.space
		}
	}
	texts := make([]string, 0, len(kept)+len(added))
	for _, element := range kept {
		texts = append(texts, string(element.raw))
	}
	for _, model := range added {
		texts = append(texts, s.element(model, elements, lead))
	}
	if len(texts) == 0 {
		return "[]"
	}
	return "[" + lead + strings.Join(texts, between) + end + "]"
}

// element writes a new model: on lines of its own when the others are, or when there
// are none and the file has lines.
func (s jsonStyle) element(m Served, elements []jsonValue, lead string) string {
	lines := s.newline != ""
	if len(elements) > 0 {
		lines = bytes.ContainsRune(elements[0].raw, '\n')
	}
	outer, inner, comma := "", "", ","+s.space
	if lines {
		outer = s.newline + lead[strings.LastIndexByte(lead, '\n')+1:]
		inner = outer + s.unit
		if len(elements) > 0 {
			inner = blanksAt(elements[0].raw, 1)
		}
		comma = "," + inner
	}
	return "{" + inner + `"api":` + s.space + quoted(m.API) + comma + `"model":` + s.space + quoted(m.Model) + outer + "}"
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // a string is always written
	return string(text)
}
