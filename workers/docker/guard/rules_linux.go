package guard

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/modfarm/modfarm/module"
)

const (
	tableName = "modfarm"
	// mark is on the packets of the proxy for registries. Setting it needs a capability that builds lack.
	mark = 0x6d66
	// most destinations that are remembered for the report.
	mostBlocked = 64
)

// ruleset collects the rules of one policy.
type ruleset struct {
	conn           *nftables.Conn
	table          *nftables.Table
	input, output  *nftables.Chain
	refuse         *nftables.Chain
	block4, block6 *nftables.Set
}

// install exchanges the packet filter of this namespace for that of a policy, all at once. Rules look at each
// packet alone and let no connection pass because it was once allowed, so that a tightened policy cuts at once.
func install(c Config, f facts, policy module.NetworkPolicy) error {
	s, err := newRuleset()
	if err != nil {
		return kernelRefuses(err)
	}
	switch policy {
	case module.NetworkNone:
		s.rejectAlways(fromAddr(embedded()))
		s.add(s.output, toInside(), accept())
		s.add(s.input, fromInside(), accept())
		s.rejectAlways()
	case module.NetworkRegistries:
		s.listen()
		s.rejectAlways(unmarked(), fromAddr(embedded()))
		s.add(s.output, toInside(), accept())
		s.neighbours(s.output)
		s.rejectAlways(unmarked())
		s.world(c, f)
	default:
		s.listen()
		s.add(s.output, toInside(), accept())
		s.neighbours(s.output)
		s.world(c, f)
	}
	return kernelRefuses(s.conn.Flush())
}

func kernelRefuses(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the kernel does not take a packet filter (%w); it needs nf_tables with inet tables: modprobe nf_tables nft_reject_inet nft_ct", err)
}

// newRuleset empties the table. Everything is dropped that no rule lets through, also while rules are exchanged.
func newRuleset() (*ruleset, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, err
	}
	s := &ruleset{conn: conn, table: &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}}
	conn.AddTable(s.table) // so that there is one to delete
	conn.DelTable(s.table)
	conn.AddTable(s.table)
	drop := nftables.ChainPolicyDrop
	base := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return conn.AddChain(&nftables.Chain{
			Name: name, Table: s.table, Type: nftables.ChainTypeFilter, Hooknum: hook,
			Priority: nftables.ChainPriorityFilter, Policy: &drop,
		})
	}
	s.input = base("input", nftables.ChainHookInput)
	s.output = base("output", nftables.ChainHookOutput)
	base("forward", nftables.ChainHookForward)
	s.refuse = conn.AddChain(&nftables.Chain{Name: "refuse", Table: s.table})
	for _, kind := range []struct {
		set  **nftables.Set
		name string
		addr nftables.SetDatatype
		load []expr.Any
		next uint32 // the register behind the address
	}{
		{&s.block4, "blocked4", nftables.TypeIPAddr, []expr.Any{family(), isFamily(unix.NFPROTO_IPV4), payload(unix.NFT_REG32_00, expr.PayloadBaseNetworkHeader, 16, 4)}, unix.NFT_REG32_01},
		{&s.block6, "blocked6", nftables.TypeIP6Addr, []expr.Any{family(), isFamily(unix.NFPROTO_IPV6), payload(unix.NFT_REG32_00, expr.PayloadBaseNetworkHeader, 24, 16)}, unix.NFT_REG32_04},
	} {
		key, err := nftables.ConcatSetType(kind.addr, nftables.TypeInetService)
		if err != nil {
			return nil, err
		}
		*kind.set = &nftables.Set{Table: s.table, Name: kind.name, KeyType: key, Concatenation: true, Dynamic: true, Size: mostBlocked}
		if err := conn.AddSet(*kind.set, nil); err != nil {
			return nil, err
		}
		// A full set ends this rule only.
		s.add(s.refuse, protocol(unix.IPPROTO_TCP), kind.load, []expr.Any{
			payload(kind.next, expr.PayloadBaseTransportHeader, 2, 2),
			&expr.Dynset{SrcRegKey: unix.NFT_REG32_00, SetName: kind.name, SetID: (*kind.set).ID, Operation: unix.NFT_DYNSET_OP_ADD},
		})
	}
	// A reset ends a connection at once; TCP would take an ICMP message as a hint only, and try again.
	s.add(s.refuse, protocol(unix.IPPROTO_TCP), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	s.add(s.refuse, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
	return s, nil
}

func (s *ruleset) add(chain *nftables.Chain, parts ...[]expr.Any) {
	s.conn.AddRule(&nftables.Rule{Table: s.table, Chain: chain, Exprs: slices.Concat(parts...)})
}

// rejectAlways refuses what the parts match. It is a matter of course under the policy, so it is not reported.
func (s *ruleset) rejectAlways(match ...[]expr.Any) {
	m := slices.Concat(match...)
	s.add(s.output, m, protocol(unix.IPPROTO_TCP), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	s.add(s.output, m, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
}

// listen lets answers in, and nothing that begins outside.
func (s *ruleset) listen() {
	s.add(s.input, fromInside(), accept())
	s.add(s.input, answers(), accept())
	s.neighbours(s.input)
}

// neighbours lets IPv6 find the gateway.
func (s *ruleset) neighbours(chain *nftables.Chain) {
	for kind := byte(133); kind <= 136; kind++ { // router and neighbour solicitation and advertisement
		s.add(chain, protocol(unix.IPPROTO_ICMPV6), []expr.Any{
			payload(1, expr.PayloadBaseTransportHeader, 0, 1), equal([]byte{kind}),
		}, accept())
	}
}

// straight refuses packets that name further hops: what they are for does not show in their destination.
func (s *ruleset) straight() {
	refuse := []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: s.refuse.Name}}
	const lengthBits, withoutOptions, routing, present = 0x0f, 5, 43, 1
	s.add(s.output, []expr.Any{
		family(), isFamily(unix.NFPROTO_IPV4), payload(1, expr.PayloadBaseNetworkHeader, 0, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{lengthBits}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: []byte{withoutOptions}},
	}, refuse)
	s.add(s.output, []expr.Any{
		family(), isFamily(unix.NFPROTO_IPV6),
		&expr.Exthdr{DestRegister: 1, Type: routing, Offset: 0, Len: 1, Flags: present, Op: expr.ExthdrOpIpv6}, equal([]byte{1}),
	}, refuse)
}

// world lets through what is public, what the owner allows, and questions to the nameservers.
func (s *ruleset) world(c Config, f facts) {
	s.straight()
	for _, a := range f.nameservers {
		for _, p := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			s.add(s.output, fromAddr(a), protocol(p), port(53), accept())
		}
	}
	for _, d := range c.Allow {
		if d.Port == 0 {
			s.add(s.output, fromPrefix(d.Prefix), accept())
			continue
		}
		for _, p := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			s.add(s.output, fromPrefix(d.Prefix), protocol(p), port(d.Port), accept())
		}
	}
	for _, p := range withTranslated(append(neverPublic(), f.refuse...)) {
		s.add(s.output, fromPrefix(p), []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: s.refuse.Name}})
	}
	s.add(s.output, accept())
}

// blocked reads what the packet filter that is in force has refused.
func blocked() []string {
	conn, err := nftables.New()
	if err != nil {
		return nil
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	var list []string
	for name, size := range map[string]int{"blocked4": 4, "blocked6": 16} {
		set, err := conn.GetSetByName(table, name)
		if err != nil {
			continue // the first order finds no table
		}
		elements, err := conn.GetSetElements(set)
		if err != nil {
			continue
		}
		for _, e := range elements {
			if len(e.Key) < size+2 {
				continue
			}
			addr, _ := netip.AddrFromSlice(e.Key[:size])
			list = append(list, net.JoinHostPort(addr.String(), strconv.Itoa(int(binary.BigEndian.Uint16(e.Key[size:])))))
		}
	}
	slices.Sort(list)
	return list
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

func equal(data []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

func payload(register uint32, base expr.PayloadBase, offset, length uint32) *expr.Payload {
	return &expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: length}
}

func family() *expr.Meta { return &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1} }

func isFamily(f byte) *expr.Cmp { return equal([]byte{f}) }

func protocol(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{p})}
}

func port(n uint16) []expr.Any {
	return []expr.Any{payload(1, expr.PayloadBaseTransportHeader, 2, 2), equal(binary.BigEndian.AppendUint16(nil, n))}
}

// fromInside and toInside match packets that do not leave the namespace.
func fromInside() []expr.Any { return device(expr.MetaKeyIIFNAME) }

func toInside() []expr.Any { return device(expr.MetaKeyOIFNAME) }

func device(direction expr.MetaKey) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, "lo")
	return []expr.Any{&expr.Meta{Key: direction, Register: 1}, equal(name)}
}

func unmarked() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, mark)},
	}
}

// answers matches packets of connections that began in here.
func answers() []expr.Any {
	states := binary.NativeEndian.AppendUint32(nil, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: states, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func fromAddr(a netip.Addr) []expr.Any { return fromPrefix(netip.PrefixFrom(a, a.BitLen())) }

// fromPrefix matches packets to a range of addresses.
func fromPrefix(p netip.Prefix) []expr.Any {
	f, offset := byte(unix.NFPROTO_IPV4), uint32(16)
	if p.Addr().Is6() {
		f, offset = unix.NFPROTO_IPV6, 24
	}
	addr := p.Masked().Addr().AsSlice()
	size := uint32(len(addr)) //nolint:gosec // 4 or 16
	mask := net.CIDRMask(p.Bits(), len(addr)*8)
	return []expr.Any{
		family(), isFamily(f),
		payload(1, expr.PayloadBaseNetworkHeader, offset, size),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		equal(addr),
	}
}

// markSocket lets a socket of the proxy through the packet filter.
func markSocket(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark) }); cerr != nil {
		return cerr
	}
	return err
}
