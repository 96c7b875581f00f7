// Package climate reads temperature and humidity from an HTTP source.
//
// It knows nothing of gRPC or of the module protocol: a [Sensor] turns one GET
// into one [Reading] and remembers how the last one went.
package climate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// maxAnswer bounds what is read of an answer: a sensor's is a few dozen bytes.
const maxAnswer = 1 << 16

// Reading is one measurement.
type Reading struct {
	TemperatureCelsius float64
	HumidityPercent    float64
}

// Status tells how a sensor is doing. LastError is empty after a good reading.
type Status struct {
	URL       string
	Reads     int
	Failures  int
	LastError string
}

// Sensor reads one source. It may be used by many goroutines at once.
type Sensor struct {
	config Config
	client *http.Client

	mu     sync.Mutex
	status Status
}

// NewSensor returns a sensor for a checked configuration; see [ParseConfig].
func NewSensor(config Config) *Sensor {
	return &Sensor{
		config: config,
		client: &http.Client{Timeout: config.Timeout},
		status: Status{URL: config.URL},
	}
}

// Read asks the source for one reading. It waits at most the configured timeout.
func (s *Sensor) Read(ctx context.Context) (Reading, error) {
	reading, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Reads++
	s.status.LastError = ""
	if err != nil {
		s.status.Failures++
		s.status.LastError = err.Error()
	}
	return reading, err
}

// Status returns a copy of the sensor's counters.
func (s *Sensor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Close lets go of idle connections. A closed sensor may still be read.
func (s *Sensor) Close() { s.client.CloseIdleConnections() }

func (s *Sensor) fetch(ctx context.Context) (reading Reading, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.URL, nil)
	if err != nil {
		return Reading{}, fmt.Errorf("read %s: %w", s.config.URL, err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return Reading{}, fmt.Errorf("read the source: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return Reading{}, fmt.Errorf("read %s: the source answered %s, want 200 OK", s.config.URL, response.Status)
	}
	return decode(io.LimitReader(response.Body, maxAnswer))
}

// decode takes pointers so that an absent field is told apart from a zero.
func decode(r io.Reader) (Reading, error) {
	var answer struct {
		Temperature *float64 `json:"temperature"`
		Humidity    *float64 `json:"humidity"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return Reading{}, fmt.Errorf("the source's answer is not the expected JSON: %w", err)
	}
	if answer.Temperature == nil || answer.Humidity == nil {
		return Reading{}, errors.New(`the source's answer lacks "temperature" or "humidity"; want {"temperature": 21.5, "humidity": 40}`)
	}
	return Reading{TemperatureCelsius: *answer.Temperature, HumidityPercent: *answer.Humidity}, nil
}
