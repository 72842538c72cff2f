package auth

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func TestParseNetworks(t *testing.T) {
	for _, c := range []struct {
		list string
		want string // the networks, outermost, in order
	}{
		{"", ""},
		{"local", ""},
		{"192.0.2.1", "192.0.2.1/32"},
		{"192.0.2.77/24", "192.0.2.0/24"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"2001:db8::1/32", "2001:db8::/32"},
		{"fe80::1%eth0", "fe80::1/128"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"},
		{"::ffff:192.0.2.1/120", "192.0.2.0/24"},
		{"::ffff:0:0/96", "0.0.0.0/0"},
		{"::/0 0.0.0.0/0", "0.0.0.0/0 ::/0"},
		{"10.1.2.3 10.1.0.0/16 10.0.0.0/8 10.0.0.0/8 9.0.0.0/8 10.255.0.0/16 11.0.0.0/8", "9.0.0.0/8 10.0.0.0/8 11.0.0.0/8"},
	} {
		n, err := ParseNetworks(strings.Fields(c.list))
		if err != nil {
			t.Errorf("%q: %v", c.list, err)
			continue
		}
		if got := strings.Trim(fmt.Sprint(n.prefixes), "[]"); got != c.want || n.IsEmpty() != (c.list == "") || n.local != (c.list == "local") {
			t.Errorf("%q: %q, local %v; want %q", c.list, got, n.local, c.want)
		}
	}
	for _, item := range []string{"", " ", "example.org", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0", "10.0.0.0/255.0.0.0", "::/129", "::ffff:10.0.0.0/95", "fe80::%eth0/10", "LOCAL", "10.0.0.1,10.0.0.2"} {
		if n, err := ParseNetworks([]string{"10.0.0.1", item}); err == nil || !n.IsEmpty() || !strings.Contains(err.Error(), fmt.Sprintf("%q", item)) {
			t.Errorf("%q: %+v, %v", item, n, err)
		}
	}
}

// The search finds what asking each network would.
func TestContainsIsThatOfEachNetwork(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		if random.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(random.IntN(4)), byte(random.IntN(256)), byte(random.IntN(4))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, byte(random.IntN(4)), byte(random.IntN(256)), 15: byte(random.IntN(4))})
	}
	inside := 0
	for range 200 {
		var list []string
		var prefixes []netip.Prefix
		for range random.IntN(40) {
			a := address()
			p := netip.PrefixFrom(a, a.BitLen()/8+random.IntN(a.BitLen()*7/8+1))
			prefixes, list = append(prefixes, p), append(list, p.String())
		}
		n := networks(t, list...)
		for range 100 {
			a := address()
			want := false
			for _, p := range prefixes {
				want = want || p.Masked().Contains(a)
			}
			if n.Contains(a) != want {
				t.Fatalf("%v in %v: %v", a, list, !want)
			}
			if want {
				inside++
			}
		}
	}
	if inside < 1000 || inside > 19_000 {
		t.Errorf("%d of 20000 addresses are inside: this shows nothing", inside)
	}
}
