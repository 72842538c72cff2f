package index

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestXUIDL(t *testing.T) {
	dir := maildirWith(t, map[string]string{
		"cur/1.a":         "Subject: x\nX-UIDL: one\n\n",
		"cur/2.a":         "X-UIDL: bad one\n\n",
		"cur/3.a":         strings.Repeat("x: "+strings.Repeat("y", 1020)+"\n", maxHeader/1024) + "X-UIDL: late\n\n",
		"cur/4.a":         "X-UIDL: saved\n\n",
		"cur/5.a":         "X-UIDL: one\n\n",
		"cur/6.a":         "X-UIDL: computed\n\n",
		"cur/7.a":         "Subject: no field\n\n",
		"dovecot-uidlist": "3 V1 N2\n1 P44 :4.a\n2 :6.a\n3 :7.a\n",
	})
	if got, want := uidls(open(t, dir, Options{XUIDL: true})), []string{"44", "computed", "0000000300000001", "one", "2.a", "3.a", digest("5.a/0/0")}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := uidls(open(t, dir, Options{})), []string{"44", "0000000200000001", "0000000300000001", "1.a", "2.a", "3.a", "5.a"}; !slices.Equal(got, want) {
		t.Errorf("off: got %q, want %q", got, want)
	}
}

// A list that its server still writes must not change a UIDL that sidepop gave.
func TestListsBefore(t *testing.T) {
	dir := maildirWith(t, map[string]string{
		"cur/999.a": "", "cur/1000.b": "", "cur/1001.c": "", "cur/nonumber": "",
		"dovecot-uidlist": "3 V1 N5\n1 :nonumber\n2 :999.a\n3 :1000.b\n4 :1001.c\n",
	})
	got := uidls(open(t, dir, Options{ListsBefore: time.Unix(1000, 0)}))
	if want := []string{"0000000200000001", "1000.b", "1001.c", "nonumber"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLists(t *testing.T) {
	const (
		dovecot = "3 V1795322374 N3 G0\n1 :2.b\n2 P\x7f :1.a:2,S\n"
		courier = "/3 9 7\n2.b:2,S 1 5:7:0\n1.a 1 6:7:0\n"
	)
	now := time.Now()
	for _, tt := range []struct {
		about   string
		lists   map[string]string
		newest  string
		want    []string
		skipped []string
	}{
		{about: "none", want: []string{"1.a", "2.b", "3.c"}},
		{about: "Dovecot", lists: map[string]string{"dovecot-uidlist": dovecot},
			want: []string{"000000016b027206", digest("1.a"), "3.c"}},
		{about: "Courier", lists: map[string]string{"courierpop3dsizelist": courier},
			want: []string{"UID6-7", "UID5-7", "3.c"}},
		{about: "Dovecot newer", lists: map[string]string{"dovecot-uidlist": dovecot, "courierpop3dsizelist": courier}, newest: "dovecot-uidlist",
			want: []string{"000000016b027206", digest("1.a"), "3.c"}},
		{about: "Courier newer", lists: map[string]string{"dovecot-uidlist": dovecot, "courierpop3dsizelist": courier}, newest: "courierpop3dsizelist",
			want: []string{"UID6-7", "UID5-7", "3.c"}},
		{about: "newer one broken", lists: map[string]string{"dovecot-uidlist": "4\n", "courierpop3dsizelist": courier}, newest: "dovecot-uidlist",
			want:    []string{"UID6-7", "UID5-7", "3.c"},
			skipped: []string{"dovecot-uidlist line 1: the header is malformed or of an unknown version: the whole list is not used"}},
		{about: "broken lines", lists: map[string]string{"courierpop3dsizelist": courier + "x\n3.c 1 6:7:0\ny\n"},
			want:    []string{"UID6-7", "UID5-7", digest("3.c/0/0")},
			skipped: []string{"courierpop3dsizelist line 4: malformed, not used; 2 such lines in all"}},
	} {
		dir := maildirWith(t, map[string]string{"cur/1.a:2,S": "", "new/2.b": "", "new/3.c": ""})
		for name, list := range tt.lists {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
				t.Fatal(err)
			}
			mtime := now.Add(-time.Hour)
			if name == tt.newest {
				mtime = now
			}
			if err := os.Chtimes(path, mtime, mtime); err != nil {
				t.Fatal(err)
			}
		}
		var skipped []string
		m := open(t, dir, Options{Events: told{skipped: func(path, reason string) {
			skipped = append(skipped, fmt.Sprintf("%s %s", filepath.Base(path), reason))
		}}})
		if got := uidls(m); !slices.Equal(got, tt.want) || !slices.Equal(skipped, tt.skipped) {
			t.Errorf("%s:\ngot  %q, skipped %q\nwant %q, skipped %q", tt.about, got, skipped, tt.want, tt.skipped)
		}
	}
}
