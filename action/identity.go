package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// What bounds asking the runner for the workflow's identity. The runner's service is known to hiccup.
const (
	identityTimeout = 10 * time.Second
	identityTries   = 5
	maxIdentity     = 64 << 10
)

// permissionLines is what a workflow without the permission has to be told.
const permissionLines = `add these lines to the job, or give key-id and key-value:

    permissions:
      contents: read
      id-token: write

Workflows of pull requests from forks get no identity, whatever they say`

// readAccess reads where the farm is and with what to log in: a key, or else the workflow's identity.
func (s *step) readAccess(r *inputReader) access {
	a := access{
		url:   r.required("url", "set it to the address of your farm, such as https://farm.example.com"),
		keyID: r.get("key-id"), keyValue: r.get("key-value"), organization: r.get("organization"),
	}
	switch {
	case a.keyID == "" && a.keyValue == "" && s.env.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL") == "":
		r.fault("key-id", "", "is missing, as is key-value, and the workflow may not show its identity instead", permissionLines)
	case a.keyID == "" && a.keyValue != "":
		r.fault("key-id", "", "is missing, and key-value is given", "set it to ${{ secrets.VIAM_KEY_ID }} and check that this secret exists")
	case a.keyID != "" && a.keyValue == "":
		r.fault("key-value", "", "is missing, and key-id is given", "set it to ${{ secrets.VIAM_KEY_VALUE }} and check that this secret exists")
	}
	return a
}

// connect makes the client, which only looks at the address.
func (s *step) connect(r *inputReader, a access) Farm {
	if a.url == "" {
		return nil
	}
	cfg := client.Config{URL: a.url, KeyID: a.keyID, Key: a.keyValue, UserAgent: s.env.UserAgent}
	if a.keyID == "" {
		s.identity = &identity{step: s, farm: a.url, organization: a.organization}
		cfg.Renew = s.identity.next
	}
	farm, err := s.env.Connect(cfg)
	var fault module.Fault
	switch {
	case errors.As(err, &fault):
		r.fault("url", fault.Value, fault.Problem, fault.Advice)
	case err != nil:
		r.fault("url", a.url, err.Error(), "write it as https://farm.example.com")
	}
	return farm
}

// identity turns who the workflow is into keys of the farm, each good for a short time.
type identity struct {
	*step
	farm, organization string

	guard sync.Mutex
	ready *client.WorkflowKey // got already, and not used yet
}

// first gets the first key, so that what is wrong with it is said on its own.
func (i *identity) first(ctx context.Context) error {
	key, err := i.exchange(ctx)
	if err != nil {
		return err
	}
	i.gh.AddMask(key.Secret)
	i.guard.Lock()
	defer i.guard.Unlock()
	i.ready = &key
	return nil
}

// next is the key to use from now on.
func (i *identity) next(ctx context.Context) (client.WorkflowKey, error) {
	i.guard.Lock()
	ready := i.ready
	i.ready = nil
	i.guard.Unlock()
	if ready != nil {
		return *ready, nil
	}
	return i.exchange(ctx)
}

// exchange gets a key. It prints nothing: while a log is shown the runner takes no commands, and one that masks a
// secret would show it.
func (i *identity) exchange(ctx context.Context) (client.WorkflowKey, error) {
	token, err := i.ask(ctx)
	if err != nil {
		return client.WorkflowKey{}, fmt.Errorf("get the workflow's identity from the runner: %w", err)
	}
	i.conceal(token)
	key, err := i.env.Exchange(ctx, client.Config{URL: i.farm, UserAgent: i.env.UserAgent}, token, i.organization)
	if err != nil {
		return client.WorkflowKey{}, fmt.Errorf("log in to %s with the workflow's identity: %w", i.farm, err)
	}
	i.conceal(key.Secret)
	return key, nil
}

// ask gets a token for this farm from the runner, and tries again what may go better.
func (i *identity) ask(ctx context.Context) (string, error) {
	var err error
	for try := range identityTries {
		if try > 0 {
			if werr := pause(ctx, i.env.Poll<<(try-1)); werr != nil {
				return "", werr
			}
		}
		var token string
		var again bool
		if token, again, err = i.askOnce(ctx); err == nil || !again {
			return token, err
		}
	}
	return "", fmt.Errorf("%w; run the workflow again later", err)
}

func (i *identity) askOnce(ctx context.Context) (token string, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	address, err := url.Parse(i.env.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"))
	if err != nil {
		return "", false, errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is no address")
	}
	query := address.Query()
	query.Set("audience", strings.TrimSuffix(i.farm, "/"))
	address.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Authorization", "Bearer "+i.env.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the address, which is nobody's business
		}
		return "", true, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests, fmt.Errorf("it answered %s", res.Status)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxIdentity)).Decode(&answer); err != nil || answer.Value == "" {
		return "", true, errors.New("its answer holds no token")
	}
	return answer.Value, false, nil
}

// exchangeToken is Env.Exchange as it is without one.
func exchangeToken(ctx context.Context, cfg client.Config, token, organization string) (client.WorkflowKey, error) {
	c, err := client.New(cfg)
	if err != nil {
		return client.WorkflowKey{}, err
	}
	return c.ExchangeIDToken(ctx, token, organization)
}

// logIn checks the key.
func (s *step) logIn(ctx context.Context, a access, farm Farm) error {
	if s.identity != nil {
		if err := s.identity.first(ctx); err != nil {
			return err
		}
		s.say("logged in to " + a.url + " with the workflow's identity")
	}
	if _, err := farm.Login(ctx); err != nil {
		return s.loginError(a, err)
	}
	return nil
}

func (s *step) loginError(a access, err error) error {
	denied := errors.Is(err, module.ErrUnauthorized) || errors.Is(err, module.ErrForbidden)
	switch {
	case denied && s.identity == nil:
		return fmt.Errorf("input key-id %q: the farm at %s does not accept this key with the given key-value (%w); "+
			"check that both secrets belong to one key of this farm", a.keyID, a.url, err)
	case errors.Is(err, module.ErrUnavailable):
		return fmt.Errorf("input url %q: %w; a farm behind a firewall needs a runner that can reach it", a.url, err)
	default:
		return fmt.Errorf("log in to %s: %w", a.url, err)
	}
}
