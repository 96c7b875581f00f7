package account

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/modfarm/modfarm/module"
)

const (
	// freeRefusals is how many wrong keys in a row an address is answered at once: people mistype.
	freeRefusals = 10
	// refusalPause is what each further one costs, and how long it takes to earn one back.
	refusalPause = 500 * time.Millisecond
	// longestRefusal is how long an answer is held back at most.
	longestRefusal = 4 * time.Second
	// mostAddresses bounds what is remembered; the address that was wrong longest ago is forgotten first.
	mostAddresses = 4096
	// mostWaiting and mostWaitingEach bound how many answers are held back at a time, of all addresses and of
	// one: each holds a connection. What is more is answered at once, like a refusal that nobody slowed down.
	mostWaiting, mostWaitingEach = 1024, 64
)

// patience slows wrong keys down. It never stands before the check of a key, only before the answer that it
// was wrong: a right key is never slowed, whatever others do from the same address, a proxy's or a NAT's.
type patience struct {
	mu        sync.Mutex
	addresses map[string]*list.Element // of *debt
	order     list.List                // the latest wrong one first
	waiting   int
}

// debt is what one address owes.
type debt struct {
	address string
	until   time.Time // when all is paid
	waiting int
}

// owe charges an address for a wrong key and returns how long the answer is to be held back; done is called
// when it was. ok is false when too many are held back already.
func (p *patience) owe(address string, now time.Time) (pause time.Duration, done func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.debt(address)
	if d.until.Before(now) {
		d.until = now
	}
	const most = freeRefusals*refusalPause + longestRefusal
	d.until = d.until.Add(refusalPause)
	if latest := now.Add(most); d.until.After(latest) {
		d.until = latest
	}
	pause = d.until.Sub(now) - freeRefusals*refusalPause
	if pause <= 0 {
		return 0, func() {}, true
	}
	if p.waiting >= mostWaiting || d.waiting >= mostWaitingEach {
		return 0, nil, false
	}
	p.waiting++
	d.waiting++
	return pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting--
		d.waiting--
	}, true
}

// debt finds or makes the record of an address. The caller holds mu.
func (p *patience) debt(address string) *debt {
	if found, known := p.addresses[address]; known {
		p.order.MoveToFront(found)
		return found.Value.(*debt) //nolint:forcetypeassert // nothing else is in it
	}
	if p.addresses == nil {
		p.addresses = map[string]*list.Element{}
	}
	if p.order.Len() >= mostAddresses {
		oldest := p.order.Back()
		delete(p.addresses, p.order.Remove(oldest).(*debt).address) //nolint:forcetypeassert // nothing else is in it
	}
	d := &debt{address: address}
	p.addresses[address] = p.order.PushFront(d)
	return d
}

// Slow holds back the answer to somebody whose key, token or login was wrong, when the address was wrong
// often of late. Other errors, and nil, come back at once. address is "host:port" or a host; an IPv6
// network of 64 bits counts as one address.
func (a *Accounts) Slow(ctx context.Context, address string, err error) error {
	if !errors.Is(err, module.ErrUnauthorized) {
		return err
	}
	pause, done, ok := a.wrong.owe(network(address), time.Now())
	if !ok || pause == 0 {
		return err
	}
	defer done()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return err
}

// network is what of an address belongs to one customer of a provider.
func network(address string) string {
	if port, err := netip.ParseAddrPort(address); err == nil {
		address = port.Addr().String()
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}
