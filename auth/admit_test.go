package auth

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// TestAdmit has who comes without a password beside what becomes of them.
func TestAdmit(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chain := Chain{
		{Name: "first", Source: NewPasswd(write("first", `joe@example.org:{PLAIN}pw:1001:1001::/home/joe
locked@example.org:!:1001:1001::/home/locked
never@example.org:!:1001:1001::/home/never::nologin=yes
here@example.org:!:1001:1001::/home/here::allow_nets=192.0.2.0/24
broken@example.org:{NONE}x:1001:1001::/home/broken
ökonom@example.org:{PLAIN}pw:1001:1001::/home/oekonom
`), func(error) {})},
		{Name: "second", Source: NewPasswd(write("second", `jane@example.org:{PLAIN}pw:1001:1001::/home/jane
jimmy@example.org:{PLAIN}pw:1001:1001::/home/jimmy
ken@example.org:{PLAIN}pw:1001:1001::/home/ken
never@example.org:{PLAIN}pw:1001:1001::/home/never
`), func(error) {})},
		{Name: "none", Source: NewPasswd(filepath.Join(dir, "none"), func(error) {}), Domains: []string{"example.net"}},
	}
	for _, c := range []struct {
		user, from string
		home       string
		want       error
	}{
		{"joe@example.org", "192.0.2.1", "/home/joe", nil},
		{"Joe@Example.Org", "192.0.2.1", "/home/joe", nil},
		{"ökonom@example.org", "192.0.2.1", "/home/oekonom", nil},
		{"Ökonom@Example.org", "192.0.2.1", "/home/oekonom", nil},
		// Names that another person can have where the proof comes from.
		{"o\u0308konom@example.org", "192.0.2.1", "", ErrCredentials},
		{"ｊｏｅ@example.org", "192.0.2.1", "", ErrCredentials},
		{"joe\u00AD@example.org", "192.0.2.1", "", ErrCredentials},
		{"joe@example.org\u200B", "192.0.2.1", "", ErrCredentials},
		{"jımmy@example.org", "192.0.2.1", "", ErrCredentials},
		{"jİmmy@example.org", "192.0.2.1", "", ErrCredentials},
		{"\u212Aen@example.org", "192.0.2.1", "", ErrCredentials},
		{"joe\xFF@example.org", "192.0.2.1", "", ErrCredentials},
		{"jane@example.org", "192.0.2.1", "/home/jane", nil},
		{"locked@example.org", "192.0.2.1", "/home/locked", nil},
		{"never@example.org", "192.0.2.1", "", ErrDenied}, // another source does not matter
		{"here@example.org", "192.0.2.1", "/home/here", nil},
		{"here@example.org", "198.51.100.1", "", ErrDenied},
		{"broken@example.org", "192.0.2.1", "", ErrPermanent},
		{"nobody@example.org", "192.0.2.1", "", ErrCredentials},
		{"joe@example.net", "192.0.2.1", "", ErrTemporary}, // nobody can know
		{"", "192.0.2.1", "", ErrCredentials},
	} {
		a, err := chain.Admit(t.Context(), c.user, netip.MustParseAddr(c.from))
		if !errors.Is(err, c.want) || (a == nil) != (c.home == "") || a != nil && a.Home != c.home {
			t.Errorf("%q from %s: %v, %v; want %q, %v", c.user, c.from, a, err, c.home, c.want)
		}
	}
	if _, err := (Chain{}).Admit(t.Context(), "joe", netip.Addr{}); !errors.Is(err, ErrCredentials) {
		t.Errorf("without sources: %v", err)
	}
}
