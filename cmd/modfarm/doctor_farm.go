package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/wire"
)

// wrongClock is how far two clocks may differ: certificates, signatures and the times of logs depend on them.
const wrongClock = 30 * time.Second

// farmAndKey looks at the farm of the login, its version and clock, and at the key.
func (d *doctorFlags) farmAndKey(ctx context.Context, lookup lookupFunc) []finding {
	at, err := d.farm.connection(lookup)
	if err != nil {
		return []finding{{Verdict: verdictSkipped, Detail: "nobody is logged in here", Mend: "modfarm login --url https://farm.example.com"}}
	}
	found, ok := health(ctx, at.url)
	if !ok {
		return found
	}
	key := finding{Check: "key", Verdict: verdictOK, Detail: at.keyID}
	c, err := d.farm.dial(at)
	if err == nil {
		orgs, lerr := c.Login(ctx)
		var names []string
		for _, org := range orgs {
			names = append(names, strings.TrimSpace(org.Name+" "+org.Namespace))
		}
		key.Detail += " of " + strings.Join(names, ", ")
		err = lerr
	}
	if err != nil {
		key.Verdict, key.Detail = verdictBad, err.Error()
		key.Mend = "see why the farm cannot check it"
		if errors.Is(err, module.ErrUnauthorized) {
			key.Mend = "modfarm login --url " + at.url + " with a key that an owner makes with: modfarm key create"
		}
	}
	found = append(found, key)
	if key.Verdict == verdictOK {
		found = append(found, gitHubApp(ctx, c))
		found = append(found, issuers(ctx, c)...)
	}
	return found
}

// gitHubApp has the farm ask GitHub whether its App is in order.
func gitHubApp(ctx context.Context, c *client.Client) finding {
	f := finding{Check: "github", Verdict: verdictOK}
	status, err := c.GitHub(ctx, true)
	switch {
	case err != nil:
		f.Verdict, f.Detail = verdictSkipped, err.Error()
	case status.App == nil:
		f.Verdict, f.Detail, f.Mend = verdictSkipped, "the farm has no GitHub App; tags are built by the Action only", "modfarm github setup"
	case status.App.Problem != "":
		f.Verdict, f.Detail, f.Mend = verdictBad, status.App.Problem, "look at its page, "+status.App.PageURL
	default:
		f.Detail = fmt.Sprintf("%s is on %d accounts", status.App.Name, len(status.Installations))
	}
	return f
}

// issuers has the farm ask those who sign the identities of workflow runs for their keys. One that is out of reach keeps
// nobody from working with a key.
func issuers(ctx context.Context, c *client.Client) []finding {
	list, err := c.GitHubIssuers(ctx)
	switch {
	case err != nil:
		return []finding{{Check: "identity", Verdict: verdictSkipped, Detail: err.Error()}}
	case len(list) == 0:
		return []finding{{Check: "identity", Verdict: verdictSkipped, Detail: "the farm trusts no issuer; workflows need a key", Mend: "--oidc-issuer of the farm"}}
	}
	var found []finding
	for _, i := range list {
		f := finding{Check: "identity", Verdict: verdictOK, Detail: "workflow runs may prove themselves by " + i.URL}
		if i.Problem != "" {
			f.Verdict, f.Detail = verdictWarning, i.Problem
			f.Mend = "let the farm reach " + i.URL + ", or start it with --oidc-issuer none: workflows need a key meanwhile"
		}
		found = append(found, f)
	}
	return found
}

// health asks for the farm's health: that also tells its version, and its clock to the second.
func health(ctx context.Context, url string) (found []finding, ok bool) {
	bad := func(err error, mend string) []finding {
		return []finding{{Verdict: verdictBad, Detail: fmt.Sprintf("%s: %v", url, err), Mend: mend}}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+wire.PathHealth, nil)
	if err != nil {
		return bad(err, "give the farm's address with --url"), false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return bad(err, "start it with 'modfarm up', or give another address with --url"), false
	}
	defer answer.Body.Close()
	var said struct{ Status, Version string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&said); err != nil || answer.StatusCode != http.StatusOK {
		return bad(fmt.Errorf("what answers there (%s) is no farm", answer.Status), "give the farm's address with --url"), false
	}
	f := finding{Verdict: verdictOK, Detail: fmt.Sprintf("%s, version %s", url, said.Version)}
	if said.Version != version() {
		f.Verdict, f.Mend = verdictWarning, fmt.Sprintf("this program is %s: use the same version on both sides", version())
	}
	return []finding{f, clock(answer.Header.Get("Date"), time.Now())}, true
}

// clock compares the farm's time with ours.
func clock(date string, now time.Time) finding {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return finding{Check: "clock", Verdict: verdictSkipped, Detail: "the farm, or a proxy before it, tells no time"}
	}
	off := now.Sub(theirs).Round(time.Second)
	if off.Abs() > wrongClock {
		return finding{
			Check: "clock", Verdict: verdictBad, Detail: fmt.Sprintf("this machine's is %s away from the farm's", off),
			Mend: "timedatectl set-ntp true, on the machine that is wrong",
		}
	}
	return finding{Check: "clock", Verdict: verdictOK, Detail: "as the farm's"}
}
