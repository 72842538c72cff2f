package wire

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"

	"sidepop/pop3"
)

// loginOf is a login with strings that the wire's own front does not send.
func loginOf(session, zone, host string) []byte {
	address := func(p []byte) []byte {
		return appendUint(appendBytes(appendBytes(p, netip.MustParseAddr("fe80::1").AsSlice()), zone), 110)
	}
	p := appendBytes(appendBytes([]byte{version, byte(verbPassword)}, "alice"), "secret")
	p = address(address(appendBytes(p, session)))
	p = appendBool(appendBool(p, true), true)
	p = appendBytes(appendUint(appendUint(p, tls.VersionTLS13), tls.TLS_AES_128_GCM_SHA256), host)
	return appendUint(p, 1000)
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
	for _, test := range []struct{ session, zone, host, want string }{
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
			TLS:     &tls.ConnectionState{ServerName: test.host},
		}
		m, err := (&Client{Path: k.path}).Password(background, p, "alice", "secret")
		if err != nil {
			t.Fatal(err)
		}
		got := k.Sessions()[0].Peer
		if all := got.Session + " " + got.Remote.Addr().Zone() + " " + got.TLS.ServerName; all != test.want {
			t.Errorf("%q became %q", test, all)
		}
		_ = m.Close()
		waitFor(t, "end", func() bool { return len(k.Sessions()) == 0 })
	}
	if told := k.events.String(); told != "" {
		t.Error(told)
	}
}
