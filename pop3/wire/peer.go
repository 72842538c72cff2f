package wire

import (
	"context"
	"crypto/tls"
	"net/netip"
	"time"

	"sidepop/pop3"
)

// appendLogin adds what every login begins with. Strings that a client chose
// and that nobody needs in full are cut.
func appendLogin(p []byte, ctx context.Context, peer pop3.Peer) []byte {
	p = appendBytes(p, cut(peer.Session, maxSession))
	p = appendAddress(p, peer.Remote)
	p = appendAddress(p, peer.Local)
	p = appendBool(p, peer.Secure)
	p = appendBool(p, peer.TLS != nil)
	if t := peer.TLS; t != nil {
		p = appendUint(p, t.Version)
		p = appendUint(p, t.CipherSuite)
		p = appendBytes(p, cut(t.ServerName, maxHost))
	}
	left := MaxLogin
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, max(0, time.Until(deadline)))
	}
	return appendUint(p, left.Milliseconds())
}

func cut(s string, limit int) string { return s[:min(len(s), limit)] }

// login is what appendLogin added.
func (d *decoder) login() (peer pop3.Peer, left time.Duration) {
	peer.Session = d.string(maxSession)
	peer.Remote = d.address()
	peer.Local = d.address()
	peer.Secure = d.bool()
	if d.bool() {
		peer.TLS = &tls.ConnectionState{
			Version:           uint16(d.uint(1<<16 - 1)),
			CipherSuite:       uint16(d.uint(1<<16 - 1)),
			ServerName:        d.string(maxHost),
			HandshakeComplete: true,
		}
	}
	left = time.Duration(d.uint(uint64(MaxLogin.Milliseconds()))) * time.Millisecond
	return peer, left
}

// appendAddress adds the number of octets of an address, 0 if there is none,
// the address, its zone if it is of IPv6, and the port.
func appendAddress(p []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(p, 0)
	}
	p = appendBytes(p, a.Addr().AsSlice())
	if a.Addr().Is6() {
		p = appendBytes(p, cut(a.Addr().Zone(), maxZone))
	}
	return appendUint(p, a.Port())
}

func (d *decoder) address() netip.AddrPort {
	const octets4, octets6 = 4, 16
	octets := d.bytes(octets6)
	if d.err != nil || len(octets) == 0 {
		return netip.AddrPort{}
	}
	if len(octets) != octets4 && len(octets) != octets6 {
		d.fail(errLength)
		return netip.AddrPort{}
	}
	a, _ := netip.AddrFromSlice(octets) // of either length
	if a.Is6() {
		a = a.WithZone(d.string(maxZone))
	}
	return netip.AddrPortFrom(a, uint16(d.uint(1<<16-1)))
}
