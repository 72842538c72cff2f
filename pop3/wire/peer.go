package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"sidepop/pop3"
)

// appendLogin adds what every login begins with. Of strings that nobody needs in
// full, what the keeper does not take stays behind: a client can send a server
// name that is none.
func appendLogin(p []byte, ctx context.Context, peer pop3.Peer) []byte {
	p = appendBytes(p, plain(peer.Session, maxSession, isAlphanumeric))
	p = appendAddress(p, peer.Remote)
	p = appendAddress(p, peer.Local)
	p = appendBool(p, peer.Secure)
	p = appendBool(p, peer.TLS != nil)
	if t := peer.TLS; t != nil {
		p = appendBool(p, t.HandshakeComplete) // not where a proxy has ended TLS
		p = appendUint(p, t.Version)
		p = appendUint(p, t.CipherSuite)
		p = appendBytes(p, plain(t.ServerName, maxHost, isVisible))
		p = appendBindings(p, peer.Bindings)
		p = appendUint(p, len(peer.Certificates))
		for _, certificate := range peer.Certificates {
			p = appendBytes(p, certificate.Raw)
		}
		p = appendBytes(p, whole(peer.ClientName, maxClientName, isPrintable))
	}
	left := MaxLogin
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, max(0, time.Until(deadline)))
	}
	return appendUint(p, left.Milliseconds())
}

func cut(s string, limit int) string { return s[:min(len(s), limit)] }

// plain is s cut, or nothing if s has an octet that is not allowed.
func plain(s string, limit int, allowed func(byte) bool) string {
	if s = cut(s, limit); !consistsOf(s, allowed) {
		return ""
	}
	return s
}

// whole is s, or nothing if s is too long or has an octet that is not allowed: a name
// that is cut is somebody else's.
func whole(s string, limit int, allowed func(byte) bool) string {
	if len(s) > limit {
		return ""
	}
	return plain(s, limit, allowed)
}

// plain is a string of at most limit octets, all of them allowed. The keeper
// writes such strings to its log.
func (d *decoder) plain(limit int, allowed func(byte) bool) string {
	s := d.string(limit)
	if !consistsOf(s, allowed) {
		d.fail(errOctets)
		return ""
	}
	return s
}

func consistsOf(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

// isAlphanumeric: the identifier of a session has only such octets.
func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// isMechanism: RFC 4422, section 3.1.
func isMechanism(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '_' }

// isVisible: the names of interfaces and of servers, whose letters are ASCII in
// TLS (RFC 6066, section 3), have only such octets.
func isVisible(c byte) bool { return ' ' < c && c < 0x7F }

// isPrintable: the common name of a certificate is UTF-8 (RFC 5280, section 4.1.2.4),
// in which no control character is of use.
func isPrintable(c byte) bool { return ' ' <= c && c != 0x7F }

// login is what appendLogin added.
func (d *decoder) login() (peer pop3.Peer, left time.Duration) {
	peer.Session = d.plain(maxSession, isAlphanumeric)
	peer.Remote = d.address()
	peer.Local = d.address()
	peer.Secure = d.bool()
	if d.bool() {
		peer.TLS = &tls.ConnectionState{
			HandshakeComplete: d.bool(),
			Version:           uint16(d.uint(1<<16 - 1)),
			CipherSuite:       uint16(d.uint(1<<16 - 1)),
			ServerName:        d.plain(maxHost, isVisible),
		}
		peer.Bindings = d.bindings()
		peer.Certificates = d.certificates()
		peer.ClientName = d.plain(maxClientName, isPrintable)
	}
	left = time.Duration(d.uint(uint64(MaxLogin.Milliseconds()))) * time.Millisecond
	return peer, left
}

// appendBindings adds the number of channel bindings, and of each its type and its
// data.
func appendBindings(p []byte, all []pop3.ChannelBinding) []byte {
	p = appendUint(p, len(all))
	for _, b := range all {
		p = appendBytes(appendBytes(p, b.Type), b.Data)
	}
	return p
}

func (d *decoder) bindings() (all []pop3.ChannelBinding) {
	for range d.int(maxBindings) {
		all = append(all, pop3.ChannelBinding{
			Type: d.plain(maxBindingType, isVisible),
			Data: append([]byte{}, d.bytes(maxBinding)...),
		})
	}
	return all
}

func (d *decoder) certificates() (all []*x509.Certificate) {
	for range d.int(maxClientChain) {
		certificate, err := x509.ParseCertificate(bytes.Clone(d.bytes(maxClientOctets))) // which keeps them
		if err != nil {
			d.fail(fmt.Errorf("a client's certificate: %w", err))
			return nil
		}
		all = append(all, certificate)
	}
	return all
}

// appendAddress adds the number of octets of an address, 0 if there is none,
// the address, its zone if it is of IPv6, and the port.
func appendAddress(p []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(p, 0)
	}
	p = appendBytes(p, a.Addr().AsSlice())
	if a.Addr().Is6() {
		p = appendBytes(p, plain(a.Addr().Zone(), maxZone, isVisible))
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
		a = a.WithZone(d.plain(maxZone, isVisible))
	}
	return netip.AddrPortFrom(a, uint16(d.uint(1<<16-1)))
}
