package github

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// MaxPayload is the largest body that GitHub sends, in bytes. Source: GitHub's documentation of webhook payloads.
	MaxPayload = 25 << 20
	// storeTime is how long a delivery may wait for the database; GitHub itself gives up after 10 s.
	storeTime = 8 * time.Second
	// together is how many deliveries share a transaction at most.
	together = 128
)

// guidRule is what GitHub's delivery ids look like, with room for another spelling.
var guidRule = regexp.MustCompile(`^[0-9A-Za-z-]{8,64}$`)

// arrival is a delivery whose sender waits until it is stored.
type arrival struct {
	delivery Delivery
	stored   chan error
}

// refusal is an answer to a delivery that is not taken.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

// ServeHTTP takes a delivery of the webhook: it is checked, stored, and answered; what it means comes later. A
// delivery that is known already is answered in the same way and stored once.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.setup()
	d, err := g.receive(w, r)
	if err == nil {
		err = g.keep(r.Context(), d)
	}
	if err == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	status, text := http.StatusServiceUnavailable, "the delivery could not be stored; GitHub will know it as failed, and the next sweep asks for it again"
	if refused, ok := errors.AsType[refusal](err); ok {
		status, text = refused.status, refused.text
	}
	g.Log.WarnContext(r.Context(), "github delivery refused", "status", status, "error", err, "from", r.RemoteAddr)
	http.Error(w, text, status)
}

// receive reads and checks a delivery. Nothing of it is looked at before its signature is right.
func (g *GitHub) receive(w http.ResponseWriter, r *http.Request) (Delivery, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return Delivery{}, refusal{http.StatusMethodNotAllowed, "deliveries are posted"}
	}
	a, err := g.current(r.Context())
	if errors.Is(err, module.ErrNotFound) {
		return Delivery{}, refusal{http.StatusNotFound, "no GitHub App is set up on this farm"}
	}
	if err != nil {
		return Delivery{}, err
	}
	if len(a.secrets.WebhookSecrets) == 0 {
		return Delivery{}, refusal{http.StatusNotFound, "the GitHub App of this farm has no webhook: tell the farm its secret with 'modfarm github secret'"}
	}
	given := r.Header.Get("X-Hub-Signature-256")
	if given == "" {
		return Delivery{}, refusal{http.StatusUnauthorized, "X-Hub-Signature-256 is missing: set the App's webhook secret; SHA-1 signatures are not taken"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return Delivery{}, refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the payload is larger than %d bytes, which GitHub never sends", tooLarge.Limit)}
	}
	if err != nil {
		return Delivery{}, refusal{http.StatusBadRequest, "the body ended early"}
	}
	if !signed(given, body, a.secrets.WebhookSecrets) {
		return Delivery{}, refusal{http.StatusUnauthorized, "the signature is wrong: the webhook secret of the App is another one here"}
	}
	return readDelivery(r, body, g.now())
}

// signed compares in constant time, with every secret.
func signed(given string, body []byte, secrets []string) bool {
	digest, ok := strings.CutPrefix(given, "sha256=")
	mac, err := hex.DecodeString(digest)
	if !ok || err != nil {
		return false
	}
	good := false
	for _, secret := range secrets {
		h := hmac.New(sha256.New, []byte(secret))
		_, _ = h.Write(body) // never fails
		good = hmac.Equal(h.Sum(nil), mac) || good
	}
	return good
}

func readDelivery(r *http.Request, body []byte, now time.Time) (Delivery, error) {
	d := Delivery{GUID: r.Header.Get("X-GitHub-Delivery"), Event: r.Header.Get("X-GitHub-Event"), Payload: body, ReceivedAt: now, NextAt: now}
	if !guidRule.MatchString(d.GUID) {
		return Delivery{}, refusal{http.StatusBadRequest, "X-GitHub-Delivery is missing or no id"}
	}
	const longest = 64
	if d.Event == "" || len(d.Event) > longest {
		return Delivery{}, refusal{http.StatusBadRequest, "X-GitHub-Event is missing or too long"}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return Delivery{}, refusal{http.StatusUnsupportedMediaType, "set the content type of the webhook to application/json"}
	}
	var head struct {
		Action string `json:"action"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return Delivery{}, refusal{http.StatusBadRequest, "the payload is not a JSON object"}
	}
	d.Action = head.Action[:min(len(head.Action), longest)]
	return d, nil
}

// keep waits until the delivery is stored.
func (g *GitHub) keep(ctx context.Context, d Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	a := &arrival{delivery: d, stored: make(chan error, 1)}
	select {
	case g.incoming <- a:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.stored:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// storeArrivals stores deliveries: those that come while one transaction is written share the next.
func (g *GitHub) storeArrivals(ctx context.Context) {
	for {
		var batch []*arrival
		select {
		case <-ctx.Done():
			return
		case a := <-g.incoming:
			batch = append(batch, a)
		}
	more:
		for len(batch) < together {
			select {
			case a := <-g.incoming:
				batch = append(batch, a)
			default:
				break more
			}
		}
		list := make([]Delivery, 0, len(batch))
		for _, a := range batch {
			list = append(list, a.delivery)
		}
		// What was taken is stored, also when the farm stops meanwhile.
		storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		err := g.Store.AddDeliveries(storing, list)
		cancel()
		for _, a := range batch {
			a.stored <- err
		}
		g.hurry(loopDeliveries)
	}
}
