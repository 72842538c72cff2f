package auth

import (
	"net/netip"
	"strings"
	"testing"
)

func id(n uint32) *uint32 { return &n }

func sameID(a, b *uint32) bool { return a == b || a != nil && b != nil && *a == *b }

func TestLines(t *testing.T) {
	for _, c := range []struct {
		line    string
		want    Account
		nologin bool
	}{
		{line: "joe:{PLAIN}pw", want: Account{Name: "joe"}},
		{line: "joe:{PLAIN}pw:", want: Account{Name: "joe"}},
		{line: "joe@example.org:{PLAIN}pw:1000:1001", want: Account{Name: "joe@example.org", UID: id(1000), GID: id(1001)}},
		{line: "joe:{PLAIN}pw:0:0", want: Account{Name: "joe", UID: id(0), GID: id(0)}},
		{line: "joe:{PLAIN}pw:::Joe:/home/joe:/bin/sh", want: Account{Name: "joe", Home: "/home/joe"}},
		{
			line: "joe:{PLAIN}pw:1:2::/home/joe::userdb_mail=maildir:~/Maildir:INDEX=/x  nodelay=y userdb_quota_rule=*:bytes=1G nologin",
			want: Account{Name: "joe", UID: id(1), GID: id(2), Home: "/home/joe", Mail: "maildir:~/Maildir:INDEX=/x"}, nologin: true,
		},
		{
			line: "joe:{PLAIN}pw:1:2::/home/joe::userdb_uid=3 userdb_gid=4 userdb_home=/srv/%d/%n user=jo nologin=y",
			want: Account{Name: "jo", UID: id(3), GID: id(4), Home: "/srv/%d/%n"}, nologin: true,
		},
		{line: "joe:{PLAIN}pw:19000:0:99999:7:::", want: Account{Name: "joe"}}, // shadow(5)
		{line: "joe:{PLAIN}pw:19000::::::", want: Account{Name: "joe"}},
	} {
		rec, err := parseLine(c.line)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		got := rec.account
		if got.Name != c.want.Name || got.Home != c.want.Home || got.Mail != c.want.Mail ||
			!sameID(got.UID, c.want.UID) || !sameID(got.GID, c.want.GID) || rec.nologin != c.nologin {
			t.Errorf("%s: %+v", c.line, rec)
		}
		if !rec.secret.match("pw") || rec.secret.match("PW") {
			t.Errorf("%s: password", c.line)
		}
	}
}

func TestMalformedLines(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"joe", "no password"},
		{"joe:", "no password"},
		{"joe::1000:1000", "no password"},
		{":{PLAIN}secret", "no user name"},
		{"joe:secret", "neither a $...$ hash"},
		{"joe:{PLAIN}secret:vmail:1000", "uid is not a number"},
		{"joe:{PLAIN}secret:-1:1000", "uid is not a number"},
		{"joe:{PLAIN}secret:4294967295:1000", "uid is not a number"},
		{"joe:{PLAIN}secret:1000:4294967296", "gid is not a number"},
		{"joe:{PLAIN}secret:1000:1000:::: userdb_uid=x", "uid is not a number"},
		{"joe:{PLAIN}secret:1000:1000::home/joe", "home is not an absolute path"},
		{"joe:{PLAIN}secret::::/home::userdb_home=~", "home is not an absolute path"},
		{"joe:{PLAIN}secret::::::allow_nets=", "allow_nets holds"},
		{"joe:{PLAIN}secret::::::allow_nets=10.0.0.0/33", "allow_nets holds"},
		{"joe:{PLAIN}secret::::::allow_nets=10.0.0.1,example.org", "allow_nets holds"},
		{"joe:{PLAIN}secret::::::user=", "user= is empty"},
		{"joe:{PLAIN}secret\x00more", "holds NUL"},
		{"joe:{PLAIN}" + strings.Repeat("s", maxLineOctets), "longer than"},
	} {
		_, err := parseLine(c.line)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.60s: %v, want %q", c.line, err, c.want)
		}
	}
}

func TestComments(t *testing.T) {
	for _, line := range []string{"", " ", "\t", "#", "# joe:{PLAIN}pw", "#joe:{PLAIN}pw"} {
		if name, ok := lineUser(line); ok {
			t.Errorf("%q is user %q", line, name)
		}
	}
	if name, ok := lineUser("joe#1:{PLAIN}#"); !ok || name != "joe#1" {
		t.Errorf("joe#1 is %q, %v", name, ok)
	}
}

func TestAllowNets(t *testing.T) {
	const list = "10.1.0.0/16,192.0.2.7,2001:db8::/32,2001:db9::1,::ffff:198.51.100.1"
	for _, c := range []struct {
		list, remote string
		want         bool
	}{
		{list, "10.1.255.255", true},
		{list, "10.2.0.0", false},
		{list, "192.0.2.7", true},
		{list, "::ffff:192.0.2.7", true},
		{list, "192.0.2.8", false},
		{list, "198.51.100.1", true},
		{list, "2001:db8:1::1", true},
		{list, "2001:db9::1", true},
		{list, "2001:db9::2", false},
		{list, "", false},
		{"local", "", true},
		{"local", "127.0.0.1", false},
		{"local,127.0.0.1", "127.0.0.1", true},
		{"fe80::/10", "fe80::1%eth0", true},
		{"0.0.0.0/0", "::1", false},
	} {
		nets, err := parseNets(c.list)
		if err != nil {
			t.Fatalf("%s: %v", c.list, err)
		}
		var remote netip.Addr
		if c.remote != "" {
			remote = netip.MustParseAddr(c.remote)
		}
		if nets.Contains(remote) != c.want {
			t.Errorf("%s allows %q: %v", c.list, c.remote, !c.want)
		}
	}
}

func TestExpand(t *testing.T) {
	joe := &Account{Name: "joe@example.org", Home: "/srv/joe"}
	for _, c := range []struct {
		account        *Account
		template, want string
	}{
		{joe, "maildir:~/Maildir", "maildir:/srv/joe/Maildir"},
		{joe, "~", "/srv/joe"},
		{joe, "maildir:~/Maildir:INDEX=~/index", "maildir:/srv/joe/Maildir:INDEX=/srv/joe/index"},
		{joe, "%h/Maildir", "/srv/joe/Maildir"},
		{joe, "/var/mail/%u", "/var/mail/joe@example.org"},
		{joe, "/100%%/~x/a~", "/100%/~x/a~"},
		{joe, "", ""},
		{&Account{Name: "a@b@c", Home: "/h"}, "%n %d", "a@b c"},
		{&Account{Name: "joe"}, "/%d", ""},
		{&Account{Name: "joe"}, "~/Maildir", ""},
		{&Account{Name: "..@example.org"}, "/%d/%n", ""},
		{&Account{Name: "../../etc"}, "/%u", ""},
		{joe, "/%x", ""},
		{joe, "/%", ""},
	} {
		got, err := c.account.Expand(c.template)
		if got != c.want || (err == nil) != (c.want != "" || c.template == "") {
			t.Errorf("%q for %s: %q, %v; want %q", c.template, c.account.Name, got, err, c.want)
		}
	}
}
