package climate

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"
)

// DefaultTimeout is how long a reading may take when the configuration does not say.
const DefaultTimeout = 5 * time.Second

// Config is a sensor's checked configuration.
type Config struct {
	URL     string        // attribute "url": where to GET the reading, http or https
	Timeout time.Duration // attribute "timeout_seconds"; absent: DefaultTimeout
}

// ParseConfig checks a component's attributes and names everything that is wrong with them.
func ParseConfig(attributes map[string]any) (Config, error) {
	config := Config{Timeout: DefaultTimeout}
	var faults []error

	address, err := parseURL(attributes["url"])
	faults = append(faults, err)
	config.URL = address

	if value, ok := attributes["timeout_seconds"]; ok {
		config.Timeout, err = parseTimeout(value)
		faults = append(faults, err)
	}
	return config, errors.Join(faults...)
}

func parseURL(value any) (string, error) {
	text, ok := value.(string)
	if !ok || text == "" {
		return "", errors.New(`attributes.url: missing; give the address of the source, such as "http://192.0.2.7/climate.json"`)
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", fmt.Errorf("attributes.url: %q is not an http or https address", text)
	}
	return text, nil
}

func parseTimeout(value any) (time.Duration, error) {
	seconds, ok := value.(float64)
	if !ok || math.IsNaN(seconds) || seconds <= 0 || seconds > 300 {
		return 0, fmt.Errorf("attributes.timeout_seconds: %v is not a number above 0 and up to 300", value)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
