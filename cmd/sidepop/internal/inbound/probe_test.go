package inbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestProbe: a listener is alive when its connections are accepted and used.
func TestProbe(t *testing.T) {
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	probe := func(serve func(net.Conn)) error {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := &Listener{Listener: inner}
		defer l.Close()
		go func() {
			for serve != nil {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if a := conn.RemoteAddr().(*net.TCPAddr).AddrPort(); !IsProbe(netip.AddrPortFrom(a.Addr().Unmap(), a.Port())) {
					t.Errorf("a probe comes from %v", a)
				}
				serve(conn)
			}
		}()
		return l.Probe(soon())
	}
	for _, tt := range []struct {
		what  string
		serve func(net.Conn)
		want  string // nothing: alive
	}{
		{"read", func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, ""},
		{"written", func(c net.Conn) { _, _ = c.Write([]byte("+OK\r\n")) }, ""},
		{"closed", func(c net.Conn) { _ = c.Close() }, ""},
		{"all", func(c net.Conn) { _, _ = c.Write(nil); _, _ = c.Read(nil); _ = c.Close() }, ""},
		{"not accepted", nil, "no connection is accepted"},
		{"not served", func(net.Conn) {}, "an accepted connection is not served"},
	} {
		if err := probe(tt.serve); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
	for _, a := range []string{"0.0.0.0:1", "127.0.0.1:0", "[::]:0", "192.0.2.1:4000"} {
		if IsProbe(netip.MustParseAddrPort(a)) {
			t.Errorf("%s is a probe's", a)
		}
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Listener{Listener: inner}
	_ = l.Close()
	_, _ = l.Accept()
	if err := l.Probe(soon()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestCloseKeepsConnections: what was accepted before the end is served, also when a
// proxy's header comes only then.
func TestCloseKeepsConnections(t *testing.T) {
	l := &Listener{Proxy: func(netip.Addr) bool { return true }}
	address, _ := listener(t, l)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for end := time.Now().Add(patience); len(l.waiting) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not accepted")
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(v2(t))); err != nil {
		t.Fatal(err)
	}
	const want = "192.0.2.7 false\n"
	answer := make([]byte, len(want))
	if _, err := conn.Read(answer); err != nil || string(answer) != want {
		t.Errorf("%q, %v", answer, err)
	}
}
