package mta

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestPostfixRemembered has logins remembered, and forgotten as soon as a password
// is another one or a user is locked.
func TestPostfixRemembered(t *testing.T) {
	need(t, "postfix")
	configurePostfix(t, "home_mailbox=Maildir/")
	alice := addPerson(t, "alice")
	// PAM notes each time that it is asked.
	const asked = "/run/asked"
	write(t, "/usr/local/sbin/note", "#!/bin/sh\necho >> "+asked+"\n", 0o755)
	write(t, pamService, "auth optional pam_exec.so quiet /usr/local/sbin/note\n"+run(t, "", "cat", pamService), 0o644)
	times := func() int {
		notes, err := os.ReadFile(asked)
		must(t, err)
		return strings.Count(string(notes), "\n")
	}
	servePAM(t, "cache_time = \"10m\"\n")

	// A login from another address is another one.
	home := net.IPv4(127, 2, 0, 1)
	login := func(want, password string) {
		t.Helper()
		if got := connectFrom(t, home).logIn(t, alice.name, password); !strings.HasPrefix(got, want) {
			t.Errorf("login: %q, want %s", got, want)
		}
	}
	settle()
	login(statusOK, alice.password)
	login(statusOK, alice.password)
	if n := times(); n != 1 {
		t.Errorf("PAM was asked %d times for two logins", n)
	}
	old := alice.password
	alice.password = newPassword()
	run(t, alice.name+":"+alice.password+"\n", "chpasswd")
	login(statusAuth, old)
	login(statusOK, alice.password)
	settle()
	login(statusOK, alice.password)
	before := times()
	login(statusOK, alice.password)
	if n := times(); n != before {
		t.Error("PAM was asked for a login that is remembered")
	}
	// What the service includes may be a file that was not there at the start.
	write(t, "/etc/pam.d/lock", "", 0o644)
	write(t, pamService, run(t, "", "cat", pamService)+"@include lock\n", 0o644)
	settle()
	login(statusOK, alice.password)
	write(t, "/etc/pam.d/lock", "account requisite pam_deny.so\n", 0o644)
	login(statusAuth, alice.password)
	write(t, "/etc/pam.d/lock", "", 0o644)
	settle()
	login(statusOK, alice.password)
	run(t, "", "chage", "--expiredate", "2020-01-01", alice.name)
	login(statusAuth, alice.password)
}

// settle waits until the files' times are trusted.
func settle() { time.Sleep(3 * time.Second) }

// TestPostfixThrottle has failures slow down the address that they come from, but
// nobody else's, and not the user's at home.
func TestPostfixThrottle(t *testing.T) {
	need(t, "postfix")
	configurePostfix(t, "home_mailbox=Maildir/")
	alice := addPerson(t, "alice")
	servePAM(t, "")
	home, attacker := net.IPv4(127, 2, 0, 1), net.IPv4(127, 2, 0, 2)
	took := func(from net.IP, want, password string) time.Duration {
		t.Helper()
		s := connectFrom(t, from)
		begin := time.Now()
		if got := s.logIn(t, alice.name, password); !strings.HasPrefix(got, want) {
			t.Errorf("login from %v: %q, want %s", from, got, want)
		}
		return time.Since(begin)
	}
	took(home, statusOK, alice.password)
	var last time.Duration
	for range 6 {
		last = took(attacker, statusAuth, "not "+alice.password)
	}
	if last < 4*time.Second {
		t.Errorf("the sixth failure took %v, want a delay of 4 s in it", last)
	}
	if right := took(attacker, statusOK, alice.password); right < 4*time.Second {
		t.Errorf("after six failures a login took %v, want a delay", right)
	}
	if atHome := took(home, statusOK, alice.password); atHome > time.Second {
		t.Errorf("at home the login took %v", atHome)
	}
}

// TestPostfixNetworks has logins only from some networks.
func TestPostfixNetworks(t *testing.T) {
	need(t, "postfix")
	configurePostfix(t, "home_mailbox=Maildir/")
	alice, bob := addPerson(t, "alice"), addPerson(t, "bob")
	servePAM(t, `allow = ["127.2.0.0/16"]
deny = ["127.2.9.0/24"]
user_networks = { "Alice" = ["127.2.1.0/24"] }
`)
	for _, c := range []struct {
		who  person
		from net.IP
		want string
	}{
		{alice, net.IPv4(127, 2, 1, 1), statusOK},
		{alice, net.IPv4(127, 2, 2, 1), statusAuth},
		{bob, net.IPv4(127, 2, 2, 1), statusOK},
		{bob, net.IPv4(127, 2, 9, 1), statusAuth},
		{bob, net.IPv4(127, 3, 0, 1), statusAuth},
	} {
		if got := connectFrom(t, c.from).logIn(t, c.who.name, c.who.password); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s from %v: %q, want %s", c.who.name, c.from, got, c.want)
		}
	}
}

// TestPostfixInstances has virtual users of two instances of Postfix, and domains
// that are for one source alone.
func TestPostfixInstances(t *testing.T) {
	need(t, "postfix")
	const other, otherDomain = "/etc/postfix-in", "other.test"
	addVirtualUser(t, virtualBase)
	people := virtualPeople(t)[:1]
	tables := mapTypes[0].makeTables(t, people)
	configurePostfix(t, append(virtualParameters(virtualBase, tables), "home_mailbox=Maildir/")...)
	run(t, "", "cp", "-R", "/etc/postfix", other)
	run(t, "", "postconf", "-c", other, "-e", "virtual_mailbox_domains="+otherDomain,
		"virtual_mailbox_maps=inline:{carol@"+otherDomain+"=other/carol/}")
	password := newPassword()
	both := fmt.Sprintf("[auth]\npostfix = [%q, %q]\npassword_maps = %q\n%s", "/etc/postfix", other,
		tables.passwords+", inline:{carol@"+otherDomain+"={PLAIN}"+password+"}", quickly)
	for domains, status := range map[string]string{"": statusOK, fmt.Sprintf("virtual_domains = [%q]\n", otherDomain): statusAuth} {
		t.Run(domains, func(t *testing.T) { // with a server of its own
			serve(t, "", both+domains)
			expectStatus(t, status, people[0].address, people[0].password)
			expectStatus(t, statusOK, "carol@"+otherDomain, password)
			expectStatus(t, statusAuth, "carol@"+virtualDomain, password)
		})
	}
}
