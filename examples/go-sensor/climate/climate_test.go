package climate_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/acme/go-sensor/climate"
)

func serve(t *testing.T, status int, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
		want   climate.Reading
		err    string
	}{
		"good":         {200, `{"temperature": 21.5, "humidity": 40}`, climate.Reading{TemperatureCelsius: 21.5, HumidityPercent: 40}, ""},
		"extra fields": {200, `{"temperature": 0, "humidity": 0, "battery": 3}`, climate.Reading{}, ""},
		"field absent": {200, `{"temperature": 21.5}`, climate.Reading{}, "lacks"},
		"not JSON":     {200, `<html>`, climate.Reading{}, "not the expected JSON"},
		"refused":      {503, ``, climate.Reading{}, "503"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sensor := climate.NewSensor(climate.Config{URL: serve(t, test.status, test.body), Timeout: time.Second})
			defer sensor.Close()
			got, err := sensor.Read(t.Context())
			if got != test.want {
				t.Errorf("reading = %+v, want %+v", got, test.want)
			}
			failed := 0
			if test.err != "" {
				failed = 1
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error = %v, want one with %q", err, test.err)
				}
			} else if err != nil {
				t.Errorf("error = %v, want none", err)
			}
			if status := sensor.Status(); status.Reads != 1 || status.Failures != failed {
				t.Errorf("status = %+v, want 1 read and %d failures", status, failed)
			}
		})
	}
}

func TestReadTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	sensor := climate.NewSensor(climate.Config{URL: server.URL, Timeout: 20 * time.Millisecond})
	if _, err := sensor.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "Timeout") {
		t.Errorf("error = %v, want a timeout", err)
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attributes map[string]any
		want       climate.Config
		errs       []string
	}{
		"least":   {map[string]any{"url": "http://h/x"}, climate.Config{URL: "http://h/x", Timeout: climate.DefaultTimeout}, nil},
		"timeout": {map[string]any{"url": "https://h", "timeout_seconds": 0.5}, climate.Config{URL: "https://h", Timeout: 500 * time.Millisecond}, nil},
		"nothing": {nil, climate.Config{}, []string{"attributes.url: missing"}},
		"all at once": {
			map[string]any{"url": "ftp://h", "timeout_seconds": "soon"},
			climate.Config{},
			[]string{`attributes.url: "ftp://h"`, "attributes.timeout_seconds: soon"},
		},
		"zero timeout": {map[string]any{"url": "http://h", "timeout_seconds": 0.0}, climate.Config{}, []string{"attributes.timeout_seconds: 0"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := climate.ParseConfig(test.attributes)
			if len(test.errs) == 0 {
				if err != nil || got != test.want {
					t.Errorf("ParseConfig = %+v, %v, want %+v", got, err, test.want)
				}
				return
			}
			for _, want := range test.errs {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one with %q", err, want)
				}
			}
		})
	}
}
