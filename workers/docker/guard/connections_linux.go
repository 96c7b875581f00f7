package guard

import (
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// forgetConnections empties the connection tracking of this namespace: what answers a connection of the build before is
// no answer to the next one. See nfnetlink_conntrack.h in Linux: a delete that names no connection means all of them.
func forgetConnections() error {
	const deleteConnections = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("forget the connections of a build: %w", err)
	}
	defer conn.Close()
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: deleteConnections, Flags: netlink.Request | netlink.Acknowledge},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}, // struct nfgenmsg
	})
	if err != nil {
		return fmt.Errorf("forget the connections of a build: %w; it needs nf_conntrack_netlink", err)
	}
	return nil
}
