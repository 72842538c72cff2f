package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"sidepop/pop3"
	"sidepop/pop3/internal/dialog"
)

// loginOf is a login with strings that the wire's own front does not send.
func loginOf(session, zone, host string) []byte {
	address := func(p []byte) []byte {
		return appendUint(appendBytes(appendBytes(p, netip.MustParseAddr("fe80::1").AsSlice()), zone), 110)
	}
	p := appendBytes(appendBytes([]byte{version, byte(verbPassword)}, "alice"), "secret")
	p = address(address(appendBytes(p, session)))
	p = appendBool(appendBool(appendBool(p, true), true), true) // secure, TLS, not ended by a proxy
	p = appendBytes(appendUint(appendUint(p, tls.VersionTLS13), tls.TLS_AES_128_GCM_SHA256), host)
	p = appendBytes(appendUint(appendUint(p, 0), 0), "") // channel bindings, certificates, name
	return appendUint(p, 1000)
}

// TestChannelBindings: an exchange has those of its connection, and a password needs
// none. What is out of bounds ends the connection.
func TestChannelBindings(t *testing.T) {
	var got noted[[]pop3.ChannelBinding]
	refused := func(p pop3.Peer) error { got.set(p.Bindings); return pop3.ErrCredentials }
	b := &scripted{
		password: func(_ context.Context, p pop3.Peer, _, _ string) (pop3.Maildrop, error) { return nil, refused(p) },
		sasl:     func(_ context.Context, p pop3.Peer, _ string) (pop3.Exchange, error) { return nil, refused(p) },
	}
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	x, err := c.SASL(background, bound, "SCRAM-SHA-256-PLUS")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Step(background, nil); !errors.Is(err, pop3.ErrCredentials) || !reflect.DeepEqual(got.get(), bound.Bindings) {
		t.Errorf("%v, %+v", err, got.get())
	}
	if _, err := c.Password(background, bound, "alice", "secret"); !errors.Is(err, pop3.ErrCredentials) || got.get() != nil {
		t.Errorf("%v, %+v with a password", err, got.get())
	}
	for _, bad := range [][]pop3.ChannelBinding{
		make([]pop3.ChannelBinding, maxBindings+1),
		{{Type: strings.Repeat("x", maxBindingType+1)}},
		{{Type: "a\nb"}},
		{{Type: "x", Data: make([]byte, maxBinding+1)}},
	} {
		p := appendBool(appendBytes([]byte{version, byte(verbSASL)}, "X"), false)
		f := dialRaw(t, k)
		f.say(appendLogin(p, background, pop3.Peer{TLS: bound.TLS, Bindings: bad}))
		f.hearEnd()
	}
}

// TestCertificates: EXTERNAL has the client's certificates, and nothing else does.
// They outlast the packet.
func TestCertificates(t *testing.T) {
	server, _ := dialog.TLS()
	certificate, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	var got noted[[]*x509.Certificate]
	refused := func(p pop3.Peer) error { got.set(p.Certificates); return pop3.ErrCredentials }
	b := &scripted{
		password: func(_ context.Context, p pop3.Peer, _, _ string) (pop3.Maildrop, error) { return nil, refused(p) },
		sasl:     func(_ context.Context, p pop3.Peer, _ string) (pop3.Exchange, error) { return nil, refused(p) },
	}
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	p := pop3.Peer{TLS: bound.TLS, Certificates: []*x509.Certificate{certificate, certificate}}
	for mechanism, want := range map[string]int{"EXTERNAL": 2, "PLAIN": 0, "": 0} {
		var err error
		if mechanism == "" {
			_, err = c.Password(background, p, "alice", "secret")
		} else {
			var x pop3.Exchange
			if x, err = c.SASL(background, p, mechanism); err == nil {
				_, _, err = x.Step(background, make([]byte, maxResponse/2))
			}
		}
		all := got.get()
		if !errors.Is(err, pop3.ErrCredentials) || len(all) != want {
			t.Errorf("%q: %v, %d certificates", mechanism, err, len(all))
		}
		for _, a := range all {
			if !a.Equal(certificate) {
				t.Error("another certificate came")
			}
			if err := a.CheckSignature(a.SignatureAlgorithm, a.RawTBSCertificate, a.Signature); err != nil {
				t.Error(err)
			}
		}
	}
	f := dialRaw(t, k)
	f.say(appendLogin(appendBool(appendBytes([]byte{version, byte(verbSASL)}, "EXTERNAL"), false), background,
		pop3.Peer{TLS: bound.TLS, Certificates: []*x509.Certificate{{Raw: []byte("no certificate")}}}))
	f.hearEnd()
}

// TestClientNames: EXTERNAL has the name that a proxy says, whole or not at all, and
// nothing else has it.
func TestClientNames(t *testing.T) {
	var got noted[string]
	refused := func(p pop3.Peer) error { got.set(p.ClientName); return pop3.ErrCredentials }
	k := newKeeper(t, &scripted{
		password: func(_ context.Context, p pop3.Peer, _, _ string) (pop3.Maildrop, error) { return nil, refused(p) },
		sasl:     func(_ context.Context, p pop3.Peer, _ string) (pop3.Exchange, error) { return nil, refused(p) },
	})
	c := &Client{Path: k.path}
	for _, test := range []struct{ mechanism, name, want string }{
		{"EXTERNAL", "Jörg Doe", "Jörg Doe"},
		{"EXTERNAL", strings.Repeat("j", maxClientName), strings.Repeat("j", maxClientName)},
		{"EXTERNAL", strings.Repeat("j", maxClientName+1), ""},
		{"EXTERNAL", "a\nb", ""},
		{"PLAIN", "joe", ""},
		{"", "joe", ""},
	} {
		p := pop3.Peer{TLS: &tls.ConnectionState{}, ClientName: test.name}
		var err error
		if test.mechanism == "" {
			_, err = c.Password(background, p, "alice", "secret")
		} else {
			var x pop3.Exchange
			if x, err = c.SASL(background, p, test.mechanism); err == nil {
				_, _, err = x.Step(background, nil)
			}
		}
		if !errors.Is(err, pop3.ErrCredentials) || got.get() != test.want {
			t.Errorf("%s, %q: %v, %q", test.mechanism, test.name, err, got.get())
		}
	}
}

// A response that does not fit into a packet beside the certificates is refused,
// and breaks nothing.
func TestCertificatesAndLongResponse(t *testing.T) {
	c := &Client{Path: "/none"}
	x, err := c.SASL(background, pop3.Peer{TLS: bound.TLS, Certificates: []*x509.Certificate{{Raw: make([]byte, maxClientOctets)}}}, "EXTERNAL")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Step(background, make([]byte, maxResponse)); !errors.Is(err, pop3.ErrCredentials) {
		t.Error(err)
	}
}

// TestPeers: what a front says of its client arrives, but for what the keeper
// does not take, and what the raw fronts of these tests send is right otherwise.
func TestPeers(t *testing.T) {
	k := newKeeper(t, alice())
	f := dialRaw(t, k)
	f.say(loginOf("q", "eth0", "a.example"))
	f.hear(verbLoggedIn)
	_ = f.Close()
	waitFor(t, "end", func() bool { return len(k.Sessions()) == 0 })
	for i, test := range []struct{ session, zone, host, want string }{
		{"Az09", "br-0.1_x", "xn--e-ega.example_1", "Az09 br-0.1_x xn--e-ega.example_1"},
		{"a\nb", "a\nb", "a\nb", "  "},
		{"a b", "a b", "a b", "  "},
		{"\u00E9", "\u00E9", "\u00E9", "  "},
		{strings.Repeat("s", maxSession+1), strings.Repeat("z", maxZone+1), strings.Repeat("h", maxHost+1),
			strings.Repeat("s", maxSession) + " " + strings.Repeat("z", maxZone) + " " + strings.Repeat("h", maxHost)},
	} {
		p := pop3.Peer{
			Session: test.session,
			Remote:  netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(test.zone), 1),
			TLS:     &tls.ConnectionState{ServerName: test.host, HandshakeComplete: i > 0},
		}
		m, err := (&Client{Path: k.path}).Password(background, p, "alice", "secret")
		if err != nil {
			t.Fatal(err)
		}
		got := k.Sessions()[0].Peer
		if all := got.Session + " " + got.Remote.Addr().Zone() + " " + got.TLS.ServerName; all != test.want {
			t.Errorf("%q became %q", test, all)
		}
		if got.TLS.HandshakeComplete != (i > 0) {
			t.Errorf("HandshakeComplete became %v", got.TLS.HandshakeComplete)
		}
		_ = m.Close()
		waitFor(t, "end", func() bool { return len(k.Sessions()) == 0 })
	}
	if told := k.events.String(); told != "" {
		t.Error(told)
	}
}
