package githubtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// hookTime is how long GitHub waits for a webhook's answer.
const hookTime = 10 * time.Second

type delivery struct {
	id           int64
	guid, event  string
	action       string
	payload      []byte
	status       int // 0: it did not arrive
	at           time.Time
	redelivery   bool
	installation int64
	repository   int64
}

// Deliver sets where webhooks go; empty sends none, and records that they were lost.
func (s *Server) Deliver(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hookURL = url
}

// Lose keeps the next n deliveries from arriving; GitHub knows them as failed.
func (s *Server) Lose(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = n
}

// Double sends the next n deliveries twice, under one id.
func (s *Server) Double(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.double = n
}

// Sign is the value of X-Hub-Signature-256 for a body under a secret.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(body) // never fails
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Send tells the webhook of an event and returns the delivery's GUID once the webhook has answered.
func (s *Server) Send(event string, payload map[string]any) string {
	body, err := json.Marshal(payload)
	if err != nil {
		s.tb.Error(err)
		return ""
	}
	action, _ := payload["action"].(string)
	d := &delivery{event: event, action: action, payload: body, guid: guid()}
	if in, ok := payload["installation"].(map[string]any); ok {
		d.installation, _ = in["id"].(int64)
	}
	if repo, ok := payload["repository"].(map[string]any); ok {
		d.repository, _ = repo["id"].(int64)
	}
	s.mu.Lock()
	lost, times := s.lose > 0 || s.hookURL == "", 1
	if s.lose > 0 {
		s.lose--
	}
	if s.double > 0 {
		s.double--
		times = 2
	}
	s.mu.Unlock()
	for range times {
		s.attempt(d, lost)
	}
	return d.guid
}

func guid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// attempt sends a delivery once and records how it went.
func (s *Server) attempt(d *delivery, lost bool) {
	s.mu.Lock()
	once := *d
	once.id, once.at = s.id(), time.Now()
	url, secret := s.hookURL, s.App.WebhookSecret
	s.sending.Add(1)
	s.mu.Unlock()
	defer s.sending.Done()
	if !lost {
		once.status = post(url, secret, &once)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = append(s.deliveries, &once)
}

func post(url, secret string, d *delivery) int {
	ctx, cancel := context.WithTimeout(context.Background(), hookTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.payload))
	if err != nil {
		return 0
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "GitHub-Hookshot/test")
	request.Header.Set("X-GitHub-Delivery", d.guid)
	request.Header.Set("X-GitHub-Event", d.event)
	request.Header.Set("X-Hub-Signature-256", Sign(secret, d.payload))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // only the status matters
	return response.StatusCode
}

func (s *Server) deliveryRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /app/hook/deliveries", s.asApp(s.listDeliveries))
	mux.HandleFunc("GET /app/hook/deliveries/{id}", s.asApp(func(w http.ResponseWriter, r *http.Request) {
		if d := s.delivery(pathID(r)); d != nil {
			answer(w, http.StatusOK, d.describe(true))
			return
		}
		problem(w, http.StatusNotFound, "Not Found")
	}))
	mux.HandleFunc("POST /app/hook/deliveries/{id}/attempts", s.asApp(func(w http.ResponseWriter, r *http.Request) {
		d := s.delivery(pathID(r))
		if d == nil {
			problem(w, http.StatusNotFound, "Not Found")
			return
		}
		again := *d
		again.redelivery = true
		go s.attempt(&again, false) // GitHub answers before it sends
		answer(w, http.StatusAccepted, map[string]any{})
	}))
}

func (s *Server) delivery(id int64) *delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.deliveries, func(d *delivery) bool { return d.id == id }); i >= 0 {
		return s.deliveries[i]
	}
	return nil
}

// listDeliveries pages newest first, by cursor: the id below which to go on.
func (s *Server) listDeliveries(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.App.WebhookSecret == "" {
		problem(w, http.StatusNotFound, "Not Found") // the App has no webhook
		return
	}
	size, err := strconv.Atoi(r.URL.Query().Get("per_page"))
	if err != nil || size < 1 || size > 100 {
		size = 30
	}
	cursor, _ := strconv.ParseInt(r.URL.Query().Get("cursor"), 10, 64) // none is the newest
	list := []map[string]any{}
	for _, d := range slices.Backward(s.deliveries) {
		if cursor != 0 && d.id >= cursor {
			continue
		}
		if len(list) == size {
			last, _ := list[size-1]["id"].(int64)
			w.Header().Set("Link", fmt.Sprintf(`<http://%s/api/v3/app/hook/deliveries?per_page=%d&cursor=%d>; rel="next"`, r.Host, size, last))
			break
		}
		list = append(list, d.describe(false))
	}
	answer(w, http.StatusOK, list)
}

func (d *delivery) describe(whole bool) map[string]any {
	status := "OK"
	if d.status == 0 || d.status >= 400 {
		status = "failed to connect to host"
	}
	m := map[string]any{
		"id": d.id, "guid": d.guid, "delivered_at": d.at.UTC().Format(time.RFC3339Nano), "redelivery": d.redelivery, "duration": 0.1,
		"status": status, "status_code": d.status, "event": d.event, "action": d.action,
		"installation_id": d.installation, "repository_id": d.repository,
	}
	if whole {
		m["request"] = map[string]any{"headers": map[string]string{}, "payload": json.RawMessage(d.payload)}
	}
	return m
}
