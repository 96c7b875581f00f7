package workers_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/modfarm/modfarm/workers"
)

func TestMasking(t *testing.T) {
	t.Parallel()
	basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:hunter22"))
	tests := map[string]struct {
		secrets []string
		chunks  []string
		want    string
	}{
		"none":             {nil, []string{"plain"}, "plain"},
		"whole":            {[]string{"hunter22"}, []string{"a hunter22 b"}, "a *** b"},
		"twice":            {[]string{"hunter22"}, []string{"hunter22hunter22"}, "******"},
		"split":            {[]string{"hunter22"}, []string{"a hun", "ter", "22 b"}, "a *** b"},
		"false beginning":  {[]string{"hunter22"}, []string{"a hun", "dred hunters"}, "a hundred hunters"},
		"at the end":       {[]string{"hunter22"}, []string{"x hunter2"}, "x hunter2"},
		"one in another":   {[]string{"hunter22", "unte"}, []string{"hunter22 unter"}, "*** ***r"},
		"inner, not outer": {[]string{"hunter22", "unte"}, []string{"hunterXX"}, "h***rXX"},
		"inner, split":     {[]string{"hunter22", "unte"}, []string{"hunter", "XX"}, "h***rXX"},
		"one begins other": {[]string{"hunter", "hunter22"}, []string{"hunter", "22 hunter", "3"}, "*** ***3"},
		"repeats itself":   {[]string{"aaab"}, []string{"aaaa", "b"}, "a***"},
		"in a header":      {[]string{"hunter22"}, []string{"Authorization: Basic " + basic}, "Authorization: Basic ***"},
		"in a URL":         {[]string{"p@ss/word"}, []string{"https://u:p%40ss%2Fword@h/"}, "https://u:***@h/"},
		"of lines":         {[]string{"-----BEGIN KEY-----\nMIIabcdefgh\nijklmnopqr\n"}, []string{"a\nMIIabcdefgh\nijklmnopqr\nb"}, "a\n***\n***\nb"},
		"too short":        {[]string{"ab"}, []string{"ab cab"}, "ab cab"},
		"empty":            {[]string{""}, []string{"x"}, "x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := workers.Masked(&out, tc.secrets, tc.chunks...); err != nil || out.String() != tc.want {
				t.Errorf("got %q, %v; want %q", out.String(), err, tc.want)
			}
			out.Reset()
			bytewise := strings.Split(strings.Join(tc.chunks, ""), "")
			if err := workers.Masked(&out, tc.secrets, bytewise...); err != nil || out.String() != tc.want {
				t.Errorf("byte by byte: got %q, %v; want %q", out.String(), err, tc.want)
			}
		})
	}
}

// TestMaskingOfEncodedSecrets puts secrets into texts and encodes those as programs do.
func TestMaskingOfEncodedSecrets(t *testing.T) {
	t.Parallel()
	wrap := func(s string, width int, end string) string {
		var b strings.Builder
		for i := 0; i < len(s); i += width {
			b.WriteString(s[i:min(i+width, len(s))] + end)
		}
		return b.String()
	}
	encodings := map[string]func(string) string{
		"base64":             func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64 raw":         func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte(s)) },
		"base64 for URLs":    func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
		"base64 in lines":    func(s string) string { return wrap(base64.StdEncoding.EncodeToString([]byte(s)), 20, "\n") },
		"base64 in a mail":   func(s string) string { return wrap(base64.StdEncoding.EncodeToString([]byte(s)), 20, "\r\n") },
		"query":              url.QueryEscape,
		"path":               url.PathEscape,
		"path of an address": func(s string) string { return strings.ReplaceAll(url.PathEscape(s), "%2F", "/") },
		"all escaped": func(s string) string {
			return "%" + strings.ToUpper(strings.TrimSuffix(wrap(hex.EncodeToString([]byte(s)), 2, "%"), "%"))
		},
		"all escaped, small": func(s string) string {
			return "%" + strings.TrimSuffix(wrap(hex.EncodeToString([]byte(s)), 2, "%"), "%")
		},
		"hex":    func(s string) string { return hex.EncodeToString([]byte(s)) },
		"HEX":    func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		"JSON":   func(s string) string { b, _ := json.Marshal(s); return string(b) },
		"folded": func(s string) string { return wrap(s, 18, "\n") },
	}
	for _, secret := range []string{"glpat-0aZ9~?>/+secret-value", "0123456789abcdef", "p@ss w<r>d & more \u00fc"} {
		for before := range 7 {
			for after := range 4 {
				text := strings.Repeat("~", before) + secret + strings.Repeat("?", after)
				for name, encode := range encodings {
					encoded := encode(text)
					for _, size := range []int{1, 7, len(encoded)} {
						out := masked(t, secret, encoded, size)
						if !strings.Contains(out, "***") {
							t.Fatalf("%s of %q, %d bytes a time: not masked: %q", name, text, size, out)
						}
						if left := strings.NewReplacer("\n", "", "\r", "").Replace(out); len(left) > 3+3*(before+after)+8 {
							t.Fatalf("%s of %q, %d bytes a time: much is left: %q", name, text, size, out)
						}
					}
				}
			}
		}
	}
}

// masked writes a text in pieces of some size.
func masked(t *testing.T, secret, text string, size int) string {
	t.Helper()
	var pieces []string
	for i := 0; i < len(text); i += size {
		pieces = append(pieces, text[i:min(i+size, len(text))])
	}
	var out bytes.Buffer
	if err := workers.Masked(&out, []string{secret}, pieces...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// FuzzMasking compares with the simple way: what holds no secret passes unchanged, and no secret passes.
func FuzzMasking(f *testing.F) {
	f.Add("hunter22 and hunter2 2", 3)
	f.Add("aHVudGVyMjI=", 1)
	f.Add("hunte\n\n\nr22", 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		const secret = "hunter22-aaab"
		out := masked(t, secret, text, 1+(size&0x1f))
		if strings.Contains(out, secret) {
			t.Errorf("%q passed as %q", text, out)
		}
		if !strings.Contains(out, "***") && out != text {
			t.Errorf("%q became %q", text, out)
		}
	})
}

func BenchmarkMasking(b *testing.B) {
	secrets := []string{strings.Repeat("token-", 8), strings.Repeat("lease/", 8), strings.Repeat("worker+", 7), "hunter22"}
	line := []byte("2026-01-02T03:04:05Z compiling main.go with -O2: 120 files, 3 warnings, taken from the cache\n")
	chunk := bytes.Repeat(line, 32<<10/len(line))
	mask := workers.NewMasker(io.Discard, secrets...)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := mask.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMaskingHoldsBackNoMoreThanNeeded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := workers.UnflushedMasked(&out, []string{"hunter22"}, "progress 50%\r"); err != nil || out.String() != "progress 50%\r" {
		t.Errorf("shown at once: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := workers.UnflushedMasked(&out, []string{"hunter22"}, "it is hunter22"); err != nil || out.String() != "it is ***" {
		t.Errorf("stars shown at once: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := workers.UnflushedMasked(&out, []string{"hunter22-and-more"}, "hunter22\n\n\nhunter22"); err != nil || out.String() != "hunter22\n\n\n" {
		t.Errorf("after more line ends than wrapping makes: %q, %v", out.String(), err)
	}
}
