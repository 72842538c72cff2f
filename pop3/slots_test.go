package pop3

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestSlots(t *testing.T) {
	s := Slots{max: 2}
	for i, want := range []bool{true, true, false} {
		if s.Acquire("a") != want {
			t.Errorf("slot %d: not %v", i, want)
		}
	}
	if !s.Acquire("b") {
		t.Error("another key has no slot")
	}
	s.Release("a")
	if !s.Acquire("a") || s.Acquire("a") {
		t.Error("one slot was given back, but not one is free")
	}
	for range 2 {
		s.Release("a")
	}
	s.Release("b")
	if len(s.open) != 0 {
		t.Errorf("%d keys are kept", len(s.open))
	}
}

func TestAccounts(t *testing.T) {
	a := NewAccounts(1, time.Hour)
	end, err := a.Begin(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Begin(t.Context(), "alice"); !errors.Is(err, ErrInUse) {
		t.Errorf("a second session: %v", err)
	}
	end()
	if _, err := a.Begin(t.Context(), "alice"); !errors.Is(err, ErrLoginDelay) {
		t.Errorf("a second login: %v", err)
	}
	if _, err := a.Begin(t.Context(), "bob"); err != nil {
		t.Errorf("another account: %v", err)
	}
	// A login that was refused for its delay holds no slot.
	if a.tooSoon("alice", time.Now().Add(2*time.Hour)) {
		t.Error("the delay does not end")
	}
	if _, ok := a.last["bob"]; ok {
		t.Error("logins are remembered beyond the delay")
	}
	if !a.sessions.Acquire("alice") {
		t.Error("a refused login holds the maildrop")
	}
}

func TestAddressKey(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
		{"::ffff:192.0.2.1", "192.0.2.1", true},
	} {
		key := func(s string) string { return addressKey(netip.MustParseAddr(s).Unmap()) }
		if got := key(test.a) == key(test.b); got != test.same {
			t.Errorf("%s and %s are the same: %v", test.a, test.b, got)
		}
	}
}

func TestLocal(t *testing.T) {
	for _, test := range []struct {
		addr net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, true}, {&net.TCPAddr{IP: net.IPv6loopback}, true},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, false}, {&net.TCPAddr{}, false},
		{&net.UnixAddr{}, true}, {nil, false}, {&net.UDPAddr{IP: net.IPv6loopback}, false},
	} {
		if got := local(test.addr); got != test.want {
			t.Errorf("%v is local: %v", test.addr, got)
		}
	}
}

// TestHandover has a session that ends while the next one waits for it.
func TestHandover(t *testing.T) {
	a := NewAccounts(1, 0)
	end, err := a.Begin(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	go end()
	second, err := a.Begin(t.Context(), "alice")
	if err != nil {
		t.Fatalf("right after the end: %v", err)
	}
	begun := time.Now()
	if _, err := a.Begin(t.Context(), "alice"); !errors.Is(err, ErrInUse) {
		t.Errorf("beside a session: %v", err)
	}
	if waited := time.Since(begun); waited < handover {
		t.Errorf("refused after %s", waited)
	}
	a.Allow(2, 0)
	if _, err := a.Begin(t.Context(), "alice"); err != nil {
		t.Errorf("with two allowed: %v", err)
	}
	second()
}
