package inbound

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

const patience = 10 * time.Second

// v2 is a header of version 2 for a client at 192.0.2.7 and port 4000, with values.
func v2(t testing.TB, values ...proxyproto.TLV) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4000}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 110})
	if err := h.SetTLVs(values); err != nil {
		t.Fatal(err)
	}
	octets, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(octets)
}

// ssl is the value with a TLS version and cipher.
func ssl(t testing.TB, flags uint8, version, cipher string) proxyproto.TLV {
	t.Helper()
	return sslOf(t, tlvparse.PP2SSL{Client: flags}, proxyproto.TLV{Type: proxyproto.PP2_SUBTYPE_SSL_VERSION, Value: []byte(version)},
		proxyproto.TLV{Type: proxyproto.PP2_SUBTYPE_SSL_CIPHER, Value: []byte(cipher)})
}

func sslOf(t testing.TB, p tlvparse.PP2SSL, values ...proxyproto.TLV) proxyproto.TLV {
	t.Helper()
	p.TLV = values
	v, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// certified is the value for a client with a certificate. Verify is the result of its
// verification, 0 for a good one.
func certified(t testing.TB, flags uint8, verify uint32, name string) proxyproto.TLV {
	t.Helper()
	return sslOf(t, tlvparse.PP2SSL{Client: flags, Verify: verify}, proxyproto.TLV{Type: proxyproto.PP2_SUBTYPE_SSL_VERSION, Value: []byte("TLSv1.3")},
		proxyproto.TLV{Type: proxyproto.PP2_SUBTYPE_SSL_CN, Value: []byte(name)})
}

// summed is a header of version 2 with a checksum, computed bit by bit by the
// polynomial of RFC 3720, appendix B.4, and then changed.
func summed(t testing.TB, header string, change uint32) string {
	t.Helper()
	const valueOctets = 7
	octets := []byte(header)
	binary.BigEndian.PutUint16(octets[fixedV2-2:], uint16(len(octets)-fixedV2+valueOctets))
	octets = append(octets, byte(proxyproto.PP2_TYPE_CRC32C), 0, 4, 0, 0, 0, 0)
	sum := ^uint32(0)
	for _, octet := range octets {
		sum ^= uint32(octet)
		for range 8 {
			low := sum & 1
			sum >>= 1
			if low == 1 {
				sum ^= 0x82F63B78
			}
		}
	}
	binary.BigEndian.PutUint32(octets[len(octets)-4:], ^sum^change)
	return string(octets)
}

const local2 = beginV2 + "\x20\x00\x00\x00"

// TestHeaders has what proxies send beside what is understood: "remote local tls", or
// the error. After what is taken the client's octets follow, none of which is lost.
func TestHeaders(t *testing.T) {
	authority := proxyproto.TLV{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("pop.example.org")}
	inV2 := func(length int, rest string) string {
		return beginV2 + "\x21\x11" + string([]byte{byte(length >> 8), byte(length)}) + rest
	}
	for _, tt := range []struct{ octets, want string }{
		{"PROXY TCP4 192.0.2.7 192.0.2.1 4000 110\r\n", "192.0.2.7:4000 192.0.2.1:110 none"},
		{"PROXY TCP6 2001:db8::7 2001:db8::1 4000 995\r\n", "[2001:db8::7]:4000 [2001:db8::1]:995 none"},
		{"PROXY UNKNOWN\r\n", "its own"},
		{"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "its own"},
		{local2, "its own"},
		{v2(t), "192.0.2.7:4000 192.0.2.1:110 none"},
		{v2(t, authority), "192.0.2.7:4000 192.0.2.1:110 none"},
		{v2(t, ssl(t, 1, "TLSv1.3", "TLS_AES_256_GCM_SHA384"), authority), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 TLS_AES_256_GCM_SHA384 pop.example.org"},
		{v2(t, ssl(t, 1, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 "},
		{v2(t, ssl(t, 1, "TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 "},
		{v2(t, ssl(t, 1, "TLSv1.2", "ECDHE-ECDSA-AES256-SHA")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.2 TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA "},
		{v2(t, ssl(t, 0, "TLSv1.3", "TLS_AES_256_GCM_SHA384")), "192.0.2.7:4000 192.0.2.1:110 none"}, // the client had none
		{v2(t, ssl(t, 1, "SSLv3", "RC4-MD5")), "192.0.2.7:4000 192.0.2.1:110 none"},

		{v2(t, certified(t, 7, 0, "Jörg Doe")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000  client Jörg Doe"},
		{v2(t, certified(t, 5, 0, "joe")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000  client joe"}, // in a resumed session
		{v2(t, certified(t, 3, 0, "joe")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000  client joe"},
		{v2(t, certified(t, 1, 0, "joe")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000 "},   // without a certificate
		{v2(t, certified(t, 7, 1, "joe")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000 "},   // not verified
		{v2(t, certified(t, 6, 0, "joe")), "192.0.2.7:4000 192.0.2.1:110 none"},              // without TLS
		{v2(t, certified(t, 7, 0, "j\x00")), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000 "}, // no text
		{v2(t, certified(t, 7, 0, "j\xff")), "the TLS of a PROXY header"},
		{v2(t, certified(t, 7, 0, strings.Repeat("j", maxName+1))), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000 "},
		{summed(t, v2(t), 0), "192.0.2.7:4000 192.0.2.1:110 none"},
		{summed(t, v2(t, authority, certified(t, 7, 0, "joe")), 0), "192.0.2.7:4000 192.0.2.1:110 TLS 1.3 0x0000 pop.example.org client joe"},
		{summed(t, local2, 0), "its own"},
		{summed(t, v2(t), 1), "checksum of a PROXY header is wrong"},
		{summed(t, v2(t, authority), 1<<31), "checksum of a PROXY header is wrong"},
		{summed(t, local2, 1), "checksum of a PROXY header is wrong"},
		{v2(t, proxyproto.TLV{Type: proxyproto.PP2_TYPE_CRC32C, Value: []byte{0, 0, 0}}), "a checksum of 3 octets, expected 4"},

		{"", "nothing was sent"},
		{"PROX", "unexpected EOF"},
		{"PROXY TCP4 192.0.2.7", "unexpected EOF"},
		{"USER bob\r\nPASS secret\r\n", "does not begin with a PROXY header"},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00", "does not begin with a PROXY header"},
		{"PROXY TCP4 192.0.2.7 192.0.2.1 4000\r\n", "can't be used"},
		{"PROXY TCP4 192.0.2.7 192.0.2.1 4000 110\n", "can't be used"},
		{"PROXY TCP4 192.0.2.7 192.0.2.1 4000 65536\r\n", "can't be used"},
		{"PROXY TCP4 2001:db8::7 192.0.2.1 4000 110\r\n", "can't be used"},
		{"PROXY UDP4 192.0.2.7 192.0.2.1 4000 110\r\n", "can't be used"},
		{"PROXY  TCP4 192.0.2.7 192.0.2.1 4000 110\r\n", "can't be used"},
		{"PROXY TCP4 " + strings.Repeat("x", maxV1) + "\r\n", "no end within 107 octets"},
		{inV2(11, strings.Repeat("x", 11)), "can't be used"},              // too short for addresses
		{inV2(0, ""), "can't be used"},                                    // none at all
		{inV2(12, "x"), "unexpected EOF"},                                 // cut off
		{inV2(15, strings.Repeat("x", 12)+"\x20\xff\xff"), "values of a"}, // a value that is longer than the rest
		{inV2(maxV2+1, ""), "4097 octets, expected 4096"},
		{beginV2 + "\x21\x12\x00\x0c" + strings.Repeat("x", 12), "not TCP"},             // UDP
		{beginV2 + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216), "not TCP"},         // a unix socket
		{beginV2 + "\x11\x11\x00\x0c" + strings.Repeat("x", 12), "can't be used"},       // version 1 in this form
		{beginV2 + "\x22\x11\x00\x0c" + strings.Repeat("x", 12), "can't be used"},       // no such command
		{beginV2 + "\x21\x13\x00\x0c" + strings.Repeat("x", 12), "can't be used"},       // no such protocol
		{v2(t, proxyproto.TLV{Type: proxyproto.PP2_TYPE_SSL, Value: []byte{1}}), "TLS"}, // cut off
	} {
		const after = "USER bob\r\n"
		r := strings.NewReader(tt.octets)
		h, err := readHeader(io.MultiReader(r, strings.NewReader(after)))
		if err != nil {
			// Without more after it: what is too short must not be waited for.
			_, err = readHeader(strings.NewReader(tt.octets))
		}
		got := "its own"
		switch {
		case err != nil:
			got = err.Error()
		case h.remote != nil:
			got = fmt.Sprintf("%v %v none", h.remote, h.local)
			if s := h.terminated; s != nil {
				got = fmt.Sprintf("%v %v %s %s %s", h.remote, h.local, tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.ServerName)
			}
			if h.client != "" {
				got += " client " + h.client
			}
		}
		if err == nil && got != tt.want || err != nil && (tt.want == "its own" || !strings.Contains(got, tt.want)) {
			t.Errorf("%.60q:\n got %s\nwant %s", tt.octets, got, tt.want)
		}
		if err == nil && r.Len() != 0 {
			t.Errorf("%.60q: %d octets of the header are left", tt.octets, r.Len())
		}
	}
}

// FuzzHeader: whatever a proxy sends, what follows a header is left for the client,
// and addresses are there or not.
func FuzzHeader(f *testing.F) {
	for _, octets := range []string{
		"PROXY TCP4 192.0.2.7 192.0.2.1 4000 110\r\n", "PROXY UNKNOWN\r\n", local2, v2(f, ssl(f, 1, "TLSv1.3", "TLS_AES_256_GCM_SHA384")),
		summed(f, v2(f, certified(f, 7, 0, "joe")), 0),
	} {
		f.Add([]byte(octets))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		r := bytes.NewReader(octets)
		h, err := readHeader(r)
		if err != nil {
			return
		}
		if (h.remote == nil) != (h.local == nil) || h.remote == nil && h.terminated != nil || h.client != "" && h.terminated == nil {
			t.Errorf("%+v", h)
		}
		header := octets[:len(octets)-r.Len()]
		again, err := readHeader(bytes.NewReader(header))
		if err != nil || fmt.Sprint(again.remote, again.local) != fmt.Sprint(h.remote, h.local) {
			t.Errorf("%q alone: %v, %+v, with more %+v", header, err, again, h)
		}
	})
}

// listener serves what it accepts by saying whose it is. Every address is a
// proxy's that is not in direct.
func listener(t *testing.T, l *Listener) (address string, refused <-chan string) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(chan string, 2*maxWaiting)
	l.Listener = inner
	l.Refused = func(_, _ net.Addr, reason error) { reasons <- reason.Error() }
	l.setUp()
	ended := make(chan error)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			go func() {
				defer conn.Close()
				if Legacy(wrapper{conn}) != Legacy(conn) {
					t.Error("what wraps a connection is of another kind")
				}
				fmt.Fprintf(conn, "%v %v\n", conn.RemoteAddr().(*net.TCPAddr).IP, Legacy(conn))
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	})
	return inner.Addr().String(), reasons
}

// wrapper is a connection of the server's own.
type wrapper struct{ net.Conn }

func (w wrapper) Wrapped() net.Conn { return w.Conn }

// say is what the listener answers to octets, all of it.
func say(t *testing.T, address, octets string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, octets)
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func TestListener(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		var proxied atomic.Bool
		proxied.Store(true)
		l := &Listener{Legacy: legacy, Proxy: func(a netip.Addr) bool { return proxied.Load() && a == netip.MustParseAddr("127.0.0.1") }}
		address, refused := listener(t, l)
		if got, want := say(t, address, v2(t)+"after"), fmt.Sprintf("192.0.2.7 %v\nafter", legacy); got != want {
			t.Errorf("by a proxy: %q, want %q", got, want)
		}
		if got, want := say(t, address, local2), fmt.Sprintf("127.0.0.1 %v\n", legacy); got != want {
			t.Errorf("the proxy for itself: %q, want %q", got, want)
		}
		if got := say(t, address, "USER bob\r\nPASS secret\r\n"); got != "" {
			t.Errorf("without a header: %q", got)
		}
		if got := <-refused; !strings.Contains(got, "does not begin with") {
			t.Errorf("refused: %q", got)
		}
		if got := say(t, address, ""); got != "" || len(refused) > 0 {
			t.Errorf("nothing was said: %q, %d refused", got, len(refused))
		}
		proxied.Store(false)
		if got, want := say(t, address, v2(t)), fmt.Sprintf("127.0.0.1 %v\n%s", legacy, v2(t)); got != want {
			t.Errorf("by somebody else: %q, want %q", got, want)
		}
	}
}

// TestWaiting: proxies that send no header hold up nobody else, and no more than
// there is room for.
func TestWaiting(t *testing.T) {
	l := &Listener{Proxy: func(netip.Addr) bool { return true }}
	address, refused := listener(t, l)
	for range maxWaiting {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for end := time.Now().Add(headerWait); len(l.waiting) < maxWaiting; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait", len(l.waiting))
		}
	}
	if got := say(t, address, v2(t)); got != "" {
		t.Errorf("one too many: %q", got)
	}
	if got := <-refused; got != errTooMany.Error() {
		t.Errorf("refused: %q", got)
	}
	for range maxWaiting { // in time
		select {
		case got := <-refused:
			if got != errLate.Error() {
				t.Errorf("refused: %q", got)
			}
		case <-time.After(headerWait + patience):
			t.Fatal("the connections that say nothing are still there")
		}
	}
	if got, want := say(t, address, v2(t)), "192.0.2.7 false\n"; got != want {
		t.Errorf("afterwards: %q, want %q", got, want)
	}
}
