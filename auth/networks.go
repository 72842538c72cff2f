package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// localNetwork stands in a list for connections without an address.
const localNetwork = "local"

// Networks is a set of client addresses. The zero value is empty.
type Networks struct {
	prefixes []netip.Prefix // none within another, in order
	local    bool           // connections without an address
}

// ParseNetworks reads networks (192.0.2.0/24, 2001:db8::/32), addresses, and
// "local" for connections without an address, such as those of a unix socket.
// Bits behind a network's length and the zone of an address do not count. An
// IPv4 address or network may be written as IPv6 maps it (::ffff:192.0.2.0/120),
// and neither 0.0.0.0/0 nor ::/0 holds addresses of the other version. An empty
// list is no error. Errors quote the item.
func ParseNetworks(list []string) (Networks, error) {
	var n Networks
	for _, item := range list {
		if item == localNetwork {
			n.local = true
			continue
		}
		prefix, err := parseNetwork(item)
		if err != nil {
			return Networks{}, fmt.Errorf("network %q: %w", item, err)
		}
		n.prefixes = append(n.prefixes, prefix)
	}
	n.prefixes = outermost(n.prefixes)
	return n, nil
}

func parseNetwork(item string) (netip.Prefix, error) {
	// A zone may hold a slash, so that what is no network could be an address.
	if addr, err := netip.ParseAddr(item); err == nil && !strings.Contains(item, "/") {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(item)
	if err != nil {
		return prefix, errors.New(`expected an address, a network such as 192.0.2.0/24, or "local"`)
	}
	if prefix.Addr().Is4In6() {
		const mapping = 96 // length of ::ffff:0:0/96 (RFC 4291, section 2.5.5.2)
		if prefix.Bits() < mapping {
			return prefix, errors.New("shorter than the /96 that maps IPv4 addresses: write it as an IPv4 network")
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapping)
	}
	return prefix.Masked(), nil
}

// outermost sorts networks and leaves out those that lie within another.
func outermost(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	kept := prefixes[:0]
	for _, p := range prefixes {
		// A network sorts before those within it, and these follow it at once.
		if last := len(kept) - 1; last < 0 || !kept[last].Contains(p.Addr()) {
			kept = append(kept, p)
		}
	}
	return kept
}

// Contains says whether an address is in the set; the zero value stands for a
// connection without an address. The time grows with the logarithm of the
// number of networks.
func (n Networks) Contains(remote netip.Addr) bool {
	if !remote.IsValid() {
		return n.local
	}
	remote = remote.Unmap().WithZone("")
	// Only the last network that begins at or before the address can hold it.
	i, found := slices.BinarySearchFunc(n.prefixes, remote, func(p netip.Prefix, a netip.Addr) int {
		return p.Addr().Compare(a)
	})
	return found || i > 0 && n.prefixes[i-1].Contains(remote)
}

// IsEmpty says that no address is in the set.
func (n Networks) IsEmpty() bool { return !n.local && len(n.prefixes) == 0 }
