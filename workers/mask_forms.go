package workers

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// minPart keeps a part of an encoded secret from being so short that it occurs by chance.
const minPart = 8

// minSecret keeps short values, which occur everywhere by chance, from turning a log into stars.
const minSecret = 4

// minLate is how long a text is at least whose end alone is masked, too.
const minLate = 12

// worthMasking are the secrets that are long enough, without the spaces around them.
func worthMasking(secrets []string) []string {
	var list []string
	for _, s := range secrets {
		if s = strings.TrimSpace(s); len(s) >= minSecret && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// escapedForms are what to look for where %41 reads as A. Every program has other characters that it leaves as they
// are, so their spellings cannot be listed.
func escapedForms(secrets []string) []string {
	var all []string
	for _, s := range secrets {
		all = append(all, s)
		if strings.Contains(s, " ") {
			all = append(all, strings.ReplaceAll(s, " ", "+"))
		}
	}
	return all
}

// forms are the texts in which secrets travel: as they are, quoted, in hexadecimal digits, and within any base64,
// wherever in it they begin.
func forms(secrets []string) []string {
	var all []string
	add := func(texts ...string) {
		for _, text := range texts {
			if len(text) >= minSecret && !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	for _, s := range secrets {
		if lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }); len(lines) > 1 {
			lines = slices.DeleteFunc(lines, func(line string) bool { return len(line) < minPart })
			add(lines...) // a key in a file; the filter looks over line ends
		} else {
			add(s)
		}
		if quoted, err := json.Marshal(s); err == nil {
			add(string(quoted[1 : len(quoted)-1]))
		}
		digits := hex.EncodeToString([]byte(s))
		add(digits, strings.ToUpper(digits))
		add(base64Forms(s)...)
		add(wholeBase64("x-access-token:" + s)...) // as git sends a token
	}
	for _, text := range slices.Clone(all) { // what remains when a line ends too early in it for the filter to see
		for cut := 1; cut < minWrapped && len(text)-cut >= minLate; cut++ {
			add(text[cut:])
		}
	}
	return all
}

// base64Forms are the encoding of a secret by itself, and the characters that every longer text with the secret in
// it has, for each of the three places in a group at which it can begin, in both alphabets.
func base64Forms(s string) []string {
	list := wholeBase64(s)
	for before := range 3 {
		text := append(make([]byte, before), s...)
		first := (8*before + 5) / 6      // the first character that holds bits of the secret only
		end := 8 * (before + len(s)) / 6 // behind the last
		if end-first < minPart {
			continue
		}
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			list = append(list, alphabet.EncodeToString(text)[first:end])
		}
	}
	return list
}

func wholeBase64(s string) []string {
	return []string{base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s))}
}
