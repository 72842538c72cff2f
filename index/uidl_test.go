package index

import (
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// digest is the hash rule, spelled out once more.
func digest(s string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:32]
}

func TestScheme(t *testing.T) {
	long := strings.Repeat("a", 70)
	for _, tt := range []struct {
		scheme       Scheme
		unique, want string
	}{
		{SchemeOwn, "1712345677.M1P2.mx1", "1712345677.M1P2.mx1"},
		{SchemeOwn, "!~", "!~"},
		{SchemeOwn, long, long},
		{SchemeOwn, long + "a", digest(long + "a")},
		{SchemeOwn, "a b", digest("a b")},
		{SchemeOwn, "\x7f", digest("\x7f")},
		{SchemeOwn, "\xe9", digest("\xe9")},
		{SchemeOwn, "abc ", digest("abc ")},
		{SchemeMD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
		{SchemeMD5, "abc", "900150983cd24fb0d6963f7d28e17f72"},
		{SchemeMD5, long + "a\xff", fmt.Sprintf("%x", md5.Sum([]byte(long+"a\xff")))},
		{SchemeCourier, "1712345677.M1P2.mx1,S=2", "1712345677.M1P2.mx1,S=2"},
		{SchemeCourier, `a+b'c"d e` + "\xff\x7f!~", "a+2Bb+27c+22d+20e+FF+7F!~"},
		{SchemeCourier, strings.Repeat(" ", 23), strings.Repeat("+20", 23)},
		{SchemeCourier, strings.Repeat(" ", 24), digest(strings.Repeat(" ", 24))},
	} {
		if got := tt.scheme.uidl(tt.unique); got != tt.want {
			t.Errorf("scheme %d of %q: got %q, want %q", tt.scheme, tt.unique, got, tt.want)
		}
	}
	if got, want := digest("abc"), "ba7816bf8f01cfea414140de5dae2223"; got != want {
		t.Errorf("SHA-256 of abc begins with %s, want %s", got, want)
	}
}

func TestAssignUIDLs(t *testing.T) {
	claim := func(unique, uidl string, s source) *entry {
		e := newEntry(candidate{parseName(unique), place{name: unique}}, SchemeOwn)
		if s != 0 {
			e.uidl, e.source = uidl, s
		}
		return e
	}
	second := claim("a", "", 0)
	second.nth = 2
	for _, tt := range []struct {
		about   string
		entries []*entry
		want    []string
	}{
		{"names", []*entry{claim("a", "", 0), claim("b", "", 0)}, []string{"a", "b"}},
		{"two files of one unique name", []*entry{claim("a", "", 0), second}, []string{"a", digest("a/1/0")}},
		{"a list naming one UIDL twice", []*entry{claim("a", "x", fromList), claim("b", "x", fromList)}, []string{"x", digest("b/0/0")}},
		{"a list goes before a name", []*entry{claim("a", "", 0), claim("b", "a", fromList)}, []string{digest("a/0/0"), "a"}},
		{"a name goes before a header", []*entry{claim("a", "b", fromHeader), claim("b", "", 0)}, []string{digest("a/0/0"), "b"}},
		{"a list goes before a header", []*entry{claim("a", "x", fromHeader), claim("b", "x", fromList)}, []string{digest("a/0/0"), "x"}},
		{"a forged substitute", []*entry{claim("a", "x", fromList), claim("c", digest("b/0/0"), fromList), claim("b", "x", fromList)},
			[]string{"x", digest("b/0/0"), digest("b/0/1")}},
		{"a name that is another one's hash", []*entry{claim("a b", "", 0), claim(digest("a b"), "", 0)},
			[]string{digest("a b"), digest(digest("a b") + "/0/0")}},
	} {
		renamed := assignUIDLs(tt.entries)
		for i, e := range tt.entries {
			if got := cmp.Or(renamed[e], e.claim()); got != tt.want[i] {
				t.Errorf("%s: message %d has %q, want %q", tt.about, i, got, tt.want[i])
			}
		}
	}
}

func TestHeaderUIDL(t *testing.T) {
	for _, tt := range []struct{ header, want string }{
		{"X-UIDL: abc\n\n", "abc"},
		{"From: x\r\nx-uidl:\t )4;\"!j\"N\"! \r\n\r\nbody", `)4;"!j"N"!`},
		{"X-UIDL:abc\nX-UIDL: def\n\n", "abc"},
		{"X-UIDL: " + strings.Repeat("x", 70) + "\n\n", strings.Repeat("x", 70)},
		{"X-UIDL: " + strings.Repeat("x", 71) + "\n\n", ""},
		{"X-UIDL: a b\n\n", ""},
		{"X-UIDL:\n\n", ""},
		{"X-UIDL:\n abc\n\n", ""},
		{"X-UIDL: abc\n def\n\n", ""},
		{"X-UIDL : abc\n\n", ""},
		{"A: b\n\nX-UIDL: body\n", ""},
		{"\nX-UIDL: body\n", ""},
		{"X-UIDL: cut", ""},
		{"X-UI", ""},
		{"", ""},
	} {
		if got := headerUIDL([]byte(tt.header)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.header, got, tt.want)
		}
	}
}
