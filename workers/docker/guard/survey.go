package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Survey is what the engine's machine looks like from its own network.
type Survey struct {
	// Addresses are those of its interfaces.
	Addresses []netip.Addr `json:"addresses"`
	// Nameservers are those of its resolver.
	Nameservers []netip.Addr `json:"nameservers"`
	// Hosts are the addresses of names that were asked for; names that are unknown are absent.
	Hosts map[string][]netip.Addr `json:"hosts,omitempty"`
}

// ReadSurvey reads what TakeSurvey wrote.
func ReadSurvey(text string) (Survey, error) {
	var s Survey
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Survey{}, fmt.Errorf("the survey of the engine's machine is no JSON: %w: %.200q", err, text)
	}
	return s, nil
}

// lookupTimeout bounds the question for one name.
const lookupTimeout = 3 * time.Second

// TakeSurvey writes what this process sees of the machine's network, with the addresses of the given hosts.
func TakeSurvey(ctx context.Context, hosts []string, out io.Writer) error {
	var s Survey
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the addresses of the machine: %w", err)
	}
	for _, a := range interfaces {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			s.Addresses = append(s.Addresses, p.Addr().Unmap())
		}
	}
	resolv, _ := os.ReadFile("/etc/resolv.conf") // a machine without one knows no names
	s.Nameservers = nameservers(resolv)
	s.Hosts = lookup(ctx, hosts)
	if err := json.NewEncoder(out).Encode(s); err != nil {
		return fmt.Errorf("write the survey: %w", err)
	}
	return nil
}

// lookup asks for all names at once.
func lookup(ctx context.Context, hosts []string) map[string][]netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found := make(map[string][]netip.Addr)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() {
			addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", h)
			if err != nil {
				return // the build will say that the name is unknown
			}
			mu.Lock()
			defer mu.Unlock()
			found[h] = addrs
		})
	}
	wg.Wait()
	return found
}
