package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/mta"
	"sidepop/index"
)

// testCheckup is one that is about nothing yet.
func testCheckup() *checkup {
	c := newCheckup("sidepop.toml")
	c.config, c.found = config.Default(), &mta.MTA{Name: mta.Exim, Version: "4.96", Active: true}
	return c
}

// wantProblem finds a problem, or with an empty severity that there is none.
func wantProblem(t *testing.T, r *check.Report, severity check.Severity, text, remedy string) {
	t.Helper()
	switch {
	case severity == "" && len(r.Problems) > 0:
		t.Errorf("problems: %+v", r.Problems)
	case severity != "" && !slices.ContainsFunc(r.Problems, func(p check.Problem) bool {
		return p.Severity == severity && strings.Contains(p.Text, text) && strings.Contains(p.Remedy, remedy)
	}):
		t.Errorf("no %s with %q and %q in %+v", severity, text, remedy, r.Problems)
	}
}

// TestTakenAddress has this process in the way, and an address that is free.
func TestTakenAddress(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := l.Addr().(*net.TCPAddr).AddrPort()
	defer l.Close()
	for _, a := range []netip.AddrPort{taken, netip.AddrPortFrom(netip.IPv4Unspecified(), taken.Port()), netip.AddrPortFrom(netip.IPv6Unspecified(), taken.Port())} {
		c := testCheckup()
		c.config.Listen.POP3S = []netip.AddrPort{a}
		c.addresses(context.Background())
		wantProblem(t, c.Report, check.Error, "listens on "+taken.String()+", where sidepop is to listen", "")
	}
	_ = l.Close()
	c := testCheckup()
	c.config.Listen.POP3 = []netip.AddrPort{taken}
	c.addresses(context.Background())
	wantProblem(t, c.Report, "", "", "")
}

func TestListedUnit(t *testing.T) {
	const list = `/run/dbus/system_bus_socket dbus.socket            dbus.service
0.0.0.0:110                 dovecot.socket         dovecot.service
[::]:110                    dovecot.socket         dovecot.service
[::]:995                    sidepop-pop3s.socket   sidepop-front.service

kobject-uevent 1            systemd-udevd-kernel.socket systemd-udevd.service
`
	for address, want := range map[string]string{
		"0.0.0.0:110": "dovecot.socket", "[::]:995": "sidepop-pop3s.socket", "[::1]:995": "", "[::]:1": "",
	} {
		if got := listedUnit(list, netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestStopIt(t *testing.T) {
	for _, c := range []struct {
		p    check.Process
		want string
	}{
		{check.Process{PID: 7, Name: "dovecot", Unit: "dovecot.service"}, "apt remove dovecot-pop3d"},
		{check.Process{PID: 1, Name: "systemd, for dovecot.socket", Unit: "dovecot.socket"}, "systemctl disable --now dovecot.socket"},
		{check.Process{PID: 7, Name: "couriertcpd", Unit: "courier-pop.service"}, "systemctl disable --now courier-pop"},
		{check.Process{PID: 7, Name: "popa3d", Unit: "popa3d.service"}, "systemctl disable --now popa3d.service"},
		{check.Process{PID: 7, Name: "inetd", Unit: "inetd.service"}, "/etc/inetd.conf"},
		{check.Process{PID: 7, Name: "mypop"}, "kill 7"},
	} {
		if got := stopIt(&c.p); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
}

// TestCompareDelivery has what MTAs say beside what sidepop is told.
func TestCompareDelivery(t *testing.T) {
	const debian = "/etc/exim4/update-exim4.conf.conf"
	for _, c := range []struct {
		local    mta.Delivery
		mailbox  string
		severity check.Severity
		text     string
		remedy   string
	}{
		{mta.Delivery{Template: "~/Maildir", Maildir: true}, "", "", "", ""},
		{mta.Delivery{Template: "~/Maildir", Maildir: true}, "%h/Maildir/", "", "", ""},
		{mta.Delivery{Template: "~/Maildir", Maildir: true, Setting: "x", File: "f"}, "/var/mail/%u", check.Error,
			"sidepop looks for mail in /var/mail/%u (mailbox in sidepop.toml), and exim delivers the mail of system users to ~/Maildir", "Take mailbox out of sidepop.toml"},
		{mta.Delivery{Template: "/var/mail/%u", Setting: "dc_localdelivery='mail_spool'", File: debian}, "", check.Error,
			"does not deliver the mail of system users to Maildirs", "Set dc_localdelivery='maildir_home' in " + debian + ", then: update-exim4.conf && systemctl reload exim4"},
		{mta.Delivery{Setting: "transport x", File: "/etc/exim.conf"}, "", check.Error, "does not deliver", "maildir_format in exim's transport (/etc/exim.conf)"},
		{mta.Delivery{Maildir: true, Setting: "x", File: "f"}, "", check.Error, "can't be told", "Set mailbox in sidepop.toml"},
		{mta.Delivery{Maildir: true, Setting: "x", File: "f"}, "~/Maildir", "", "", ""},
	} {
		u := testCheckup()
		u.local, u.config.Mailbox = c.local, c.mailbox
		u.compareDelivery()
		wantProblem(t, u.Report, c.severity, c.text, c.remedy)
	}
}

// TestMaildir looks at mailboxes of each kind as their owner.
func TestMaildir(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, dir := range []string{"full/new", "full/cur", "half/cur", "empty"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"mbox", "full/new/1.a", "full/new/.hidden", "full/cur/2.a:2,S", "full/cur/3.a:2,", "full/courierpop3dsizelist"} {
		if err := os.WriteFile(at(file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		err  bool
		want maildirState
		list string
	}{
		{"full", false, maildirState{messages: [2]int{1, 2}}, "courierpop3dsizelist"},
		{"half", false, maildirState{missing: 1}, ""},
		{"empty", false, maildirState{missing: 2}, ""},
		{"mbox", false, maildirState{file: true}, ""},
		{"none", true, maildirState{}, ""},
	} {
		m := maildirState{path: at(c.name)}
		err := m.look()
		if (err != nil) != c.err || m.file != c.want.file || m.missing != c.want.missing || m.messages != c.want.messages || m.readOnly != nil {
			t.Errorf("%s: %+v, %v", c.name, m, err)
		}
		if (c.list != "") != (len(m.lists) == 1) || c.list != "" && m.lists[0].Name() != c.list {
			t.Errorf("%s: lists %v", c.name, m.lists)
		}
	}
}

// TestTableFiles has tables as main.cf names them.
func TestTableFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"hash", "hash.db", "mysql.cf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for maps, want := range map[string][]string{
		"hash:" + dir + "/hash, proxy:mysql:" + dir + "/mysql.cf": {dir + "/hash", dir + "/hash.db", dir + "/mysql.cf"},
		"unionmap:{hash:" + dir + "/hash,inline:{a=b}}":           {dir + "/hash", dir + "/hash.db"},
		"static:x inline:{a=/b}":                                  nil,
		"lmdb:" + dir + "/none":                                   nil,
	} {
		if got := tableFiles(maps); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", maps, got, want)
		}
	}
}

func TestNetworkRule(t *testing.T) {
	rules := map[string]auth.Networks{"alice@Example.org": {}, "@example.net": {}, "bob": {}}
	for name, want := range map[string]string{
		"ALICE@example.org": "alice@Example.org", "carol@example.NET": "@example.net",
		"bob": "bob", "bob@example.org": "", "": "", "example.net": "",
	} {
		if got := networkRule(rules, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestDomainOf(t *testing.T) {
	for name, want := range map[string]string{"": "", "alice": "", "a@B.example": "b.example", "a@b@c": "c", "a@": ""} {
		if got := domainOf(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestPasswordTables shows no passwords that stand in the names of tables.
func TestPasswordTables(t *testing.T) {
	for maps, want := range map[string]string{
		"hash:/etc/postfix/passwords":             "hash:/etc/postfix/passwords",
		"inline:{{a@example.org={PLAIN}sesame}}":  "auth.password_maps",
		"unionmap:{hash:/x,static:{PLAIN}sesame}": "auth.password_maps",
	} {
		c := testCheckup()
		c.config.Auth.PasswordMaps = maps
		if got := c.passwordTables(); got != want {
			t.Errorf("%s: %q, want %q", maps, got, want)
		}
	}
}

// TestAccessRemedy gives what is missing to whom it is missing.
func TestAccessRemedy(t *testing.T) {
	owner := &index.Owner{UID: 1000, GID: 1001}
	for want, o := range map[string]*check.Obstacle{
		"getfacl":                      nil,
		"chmod o+x /home":              {Path: "/home", Want: check.Enter, Owner: 0},
		"chown -R 1000:1001 /home/new": {Path: "/home/new", Want: check.Write, Owner: 0},
		"chmod u+rwx /home/new":        {Path: "/home/new", Want: check.Write, Owner: 1000},
	} {
		if got := accessRemedy(o, owner); !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
}
