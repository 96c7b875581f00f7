package githubtest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is how GitHub misbehaves.
type Fault struct {
	// Status is what it answers; zero answers as usual, after Delay.
	Status int
	// RetryAfter is told with the answer, in seconds; zero tells none.
	RetryAfter int
	// Secondary makes the answer a secondary rate limit's.
	Secondary bool
	// Delay is how long the answer takes.
	Delay time.Duration
	// Expire makes every installation token that was minted before too old, right before the request is answered.
	Expire bool
	// Times is how often it happens; zero until Heal.
	Times int
}

type fault struct {
	match string
	Fault
	endless bool
}

// Fail misbehaves for requests whose "METHOD /path" contains match; empty matches all.
func (s *Server) Fail(match string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault{match: match, Fault: f, endless: f.Times == 0})
}

// Heal ends all misbehaviour, and the rate limit.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.limit = nil, -1
}

// Limit leaves so many requests until Heal: further ones are refused as a primary rate limit refuses.
func (s *Server) Limit(requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = requests
}

// faulty records requests and applies faults and limit.
func (s *Server) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v3")
		s.mu.Lock()
		s.requests = append(s.requests, name)
		var f Fault
		for _, have := range s.faults {
			if (have.endless || have.Times > 0) && strings.Contains(name, have.match) {
				have.Times--
				f = have.Fault
				break
			}
		}
		if f.Expire {
			s.expire()
		}
		limited := s.limit == 0 && strings.HasPrefix(r.URL.Path, "/api/")
		if s.limit > 0 {
			s.limit--
		}
		left := s.limit
		s.mu.Unlock()
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
		if left >= 0 {
			w.Header().Set("X-RateLimit-Limit", "5000")
			w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(left))
			w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(2*time.Second).Unix(), 10))
		}
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		switch {
		case limited:
			problem(w, http.StatusForbidden, "API rate limit exceeded for installation ID 1.")
		case f.Status != 0 && f.Secondary:
			answer(w, f.Status, map[string]any{
				"message":           "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
				"documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
			})
		case f.Status != 0:
			problem(w, f.Status, "%s", http.StatusText(f.Status))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) rateLimit(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	left := s.limit
	s.mu.Unlock()
	if left < 0 {
		left = 5000
	}
	core := map[string]any{"limit": 5000, "remaining": left, "reset": time.Now().Add(time.Hour).Unix()}
	answer(w, http.StatusOK, map[string]any{"resources": map[string]any{"core": core}, "rate": core})
}
