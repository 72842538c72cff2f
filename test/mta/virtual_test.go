package mta

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const (
	virtualDomain = "virtual.test"
	virtualUser   = "vmail" // whose the virtual users' mail is
	virtualUID    = "5000"
	virtualBase   = "/var/mail/virtual"
)

// addVirtualUser adds the user whose the virtual users' mail is, with a folder for
// it.
func addVirtualUser(t testing.TB, base string) {
	t.Helper()
	if try(t, "", "id", virtualUser).status != 0 {
		addService(t, virtualUser, "--uid", virtualUID) // and a group of that id
	}
	run(t, "", "install", "-d", "-m", "700", "-o", virtualUser, "-g", virtualUser, base)
}

// virtualPerson is somebody with mail and without an account of the system.
type virtualPerson struct {
	address, password string
	mailbox           string // as the tables have it, below the base; a slash ends it
	secret            string // as the tables have it; "" is none
}

// virtualPeople are users of every way to write a secret down, and at last one
// who has none.
func virtualPeople(t testing.TB) []virtualPerson {
	t.Helper()
	var people []virtualPerson
	for _, secret := range []struct {
		local string
		of    func(password string) string
	}{
		{"alice", func(p string) string { return hashed(t, p) }},
		{"bob.builder", func(p string) string { return "{SHA512-CRYPT}" + hashed(t, p) }},
		{"carol", func(p string) string { return "{PLAIN}" + p }},
		{"dave", func(string) string { return "" }},
	} {
		password := newPassword()
		people = append(people, virtualPerson{
			address:  secret.local + "@" + virtualDomain,
			password: password,
			mailbox:  virtualDomain + "/" + secret.local + "/",
			secret:   secret.of(password),
		})
	}
	return people
}

// hashed is a password as crypt(3) stores it.
func hashed(t testing.TB, password string) string {
	t.Helper()
	return strings.TrimSpace(run(t, password, "openssl", "passwd", "-6", "-stdin"))
}

// virtualParameters are those of a Postfix with virtual users.
func virtualParameters(base string, tables tables) []string {
	return []string{
		"virtual_mailbox_domains=" + virtualDomain,
		"virtual_mailbox_base=" + base,
		"virtual_mailbox_maps=" + tables.mailboxes,
		"virtual_uid_maps=static:" + virtualUID,
		"virtual_gid_maps=static:" + virtualUID,
	}
}

// serveVirtual starts sidepop for Postfix's virtual users.
func serveVirtual(t testing.TB, tables tables, tolerated ...string) {
	t.Helper()
	serve(t, "", fmt.Sprintf("[auth]\nsources = [\"virtual\"]\npassword_maps = %q\n%s", tables.passwords, quickly), tolerated...)
}

// TestPostfixVirtual has virtual users in tables of each type that Debian has.
func TestPostfixVirtual(t *testing.T) {
	need(t, "postfix")
	startPostfix(t)
	for _, m := range mapTypes {
		t.Run(m.name, func(t *testing.T) {
			people := virtualPeople(t)
			tables := m.makeTables(t, people)
			base := filepath.Join(virtualBase, m.name)
			addVirtualUser(t, virtualBase)
			addVirtualUser(t, base)
			reloadPostfix(t, virtualParameters(base, tables)...)
			serveVirtual(t, tables)
			extension := "+extension"
			if m.whole {
				extension = ""
			}
			testVirtual(t, base, people, extension)
		})
	}
}

// testVirtual delivers to people, all with a password but the last, and to an
// extension of theirs, and fetches their mail.
func testVirtual(t *testing.T, base string, people []virtualPerson, extension string) {
	t.Helper()
	last := len(people) - 1
	for _, p := range people[:last] {
		maildir := filepath.Join(base, p.mailbox)
		local, domain, _ := strings.Cut(p.address, "@")
		letters := []letter{sendmail(t, p.address), sendSMTP(t, local+extension+"@"+domain)}
		expectMail(t, p.address, p.password, maildir, letters...)
		expectUIDLs(t, strings.ToUpper(p.address), p.password, stored(t, maildir))
		expectStatus(t, statusAuth, p.address, "not "+p.password)
		expectStatus(t, statusAuth, p.address, p.secret)
	}
	for _, login := range []string{
		people[last].address,
		"nobody-of-that-name@" + virtualDomain,
		"alice@elsewhere.test",
		"alice",
		"@" + virtualDomain,
		"alice@" + virtualDomain + "@" + virtualDomain,
		"alice'@" + virtualDomain,
		"x'OR'1'='1@" + virtualDomain,
		"*@" + virtualDomain,
		"../alice@" + virtualDomain,
		"-q@" + virtualDomain,
		"-",
	} {
		expectStatus(t, statusAuth, login, people[0].password)
	}
}

// TestPostfixVirtualChange changes passwords while sidepop runs.
func TestPostfixVirtualChange(t *testing.T) {
	need(t, "postfix")
	addVirtualUser(t, virtualBase)
	for _, m := range mapTypes {
		t.Run(m.name, func(t *testing.T) {
			people := virtualPeople(t)[:1]
			alice := &people[0]
			tables := m.makeTables(t, people)
			configurePostfix(t, virtualParameters(virtualBase, tables)...)
			serveVirtual(t, tables)
			expectStatus(t, statusOK, alice.address, alice.password)

			old := alice.password
			alice.password = newPassword()
			alice.secret = hashed(t, alice.password)
			m.makeTables(t, people)
			expectStatus(t, statusAuth, alice.address, old)
			expectStatus(t, statusOK, alice.address, alice.password)
		})
	}
}

// TestPostfixBoth has users of the system and virtual ones, and sidepop find both
// out.
func TestPostfixBoth(t *testing.T) {
	need(t, "postfix")
	addVirtualUser(t, virtualBase)
	people := virtualPeople(t)[:1]
	tables := mapTypes[0].makeTables(t, people)
	startPostfix(t, append(virtualParameters(virtualBase, tables), "home_mailbox=Maildir/")...)
	alice, virtual := addPerson(t, "alice"), people[0]
	serve(t, "", fmt.Sprintf("[auth]\npassword_maps = %q\n%s", tables.passwords, quickly))
	expectMail(t, alice.name, alice.password, filepath.Join(alice.home, "Maildir"), sendmail(t, alice.name))
	expectMail(t, virtual.address, virtual.password, filepath.Join(virtualBase, virtual.mailbox), sendmail(t, virtual.address))
	expectStatus(t, statusAuth, alice.name, virtual.password)
	expectStatus(t, statusAuth, alice.name+"@"+hostname, virtual.password)
	expectStatus(t, statusAuth, virtual.address, alice.password)
}
