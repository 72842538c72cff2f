package check

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Listener is a TCP socket on which connections are waited for.
type Listener struct {
	Address  netip.AddrPort
	UID      uint32    // of who made it
	Programs []Process // that have it; none where this user may not see them
}

// Listeners finds all of this network namespace.
func Listeners(ps *Processes) (all []Listener, err error) {
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		_, rows, _ := strings.Cut(string(text), "\n") // after the titles
		for row := range strings.Lines(rows) {
			l, inode, ok, err := parseSocket(row)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if ok {
				l.Programs = ps.holders(inode)
				all = append(all, l)
			}
		}
	}
	return all, nil
}

// Columns of /proc/net/tcp (proc(5)), and the state of a socket that listens.
const (
	columnLocal = 1
	columnState = 3
	columnUID   = 7
	columnInode = 9

	stateListen = "0A"
)

// parseSocket reads a row; ok is false for a socket that does not listen.
func parseSocket(row string) (l Listener, inode string, ok bool, err error) {
	fields := strings.Fields(row)
	if len(fields) <= columnInode {
		return l, "", false, fmt.Errorf("%d columns: of an unknown kernel", len(fields))
	}
	if fields[columnState] != stateListen {
		return l, "", false, nil
	}
	if l.Address, err = parseAddress(fields[columnLocal]); err != nil {
		return l, "", false, err
	}
	uid, err := strconv.ParseUint(fields[columnUID], 10, 32)
	l.UID = uint32(uid)
	return l, fields[columnInode], err == nil, err
}

// parseAddress reads an address: groups of 32 bits as this machine has numbers,
// and the port as people do.
func parseAddress(text string) (netip.AddrPort, error) {
	digits, port, _ := strings.Cut(text, ":")
	octets, err := hex.DecodeString(digits)
	if err != nil || len(octets)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	for i := 0; i < len(octets); i += 4 {
		binary.NativeEndian.PutUint32(octets[i:], binary.BigEndian.Uint32(octets[i:]))
	}
	addr, ok := netip.AddrFromSlice(octets)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// Conflicts says whether a socket that listens keeps another from an address. [::]
// is taken to mean IPv4 too, as it does unless a program asks for less.
func (l *Listener) Conflicts(a netip.AddrPort) bool {
	have, want := l.Address.Addr().Unmap(), a.Addr().Unmap()
	if l.Address.Port() != a.Port() {
		return false
	}
	return have == want || covers(have, want) || covers(want, have)
}

// covers says whether an address stands for all, another one among them.
func covers(all, one netip.Addr) bool {
	return all.IsUnspecified() && (all.Is6() || one.Is4())
}
