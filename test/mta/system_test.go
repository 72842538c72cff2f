package mta

import (
	"path/filepath"
	"strings"
	"testing"
)

// servePAM starts sidepop for the system's users. Where their mail is it has to
// find out.
func servePAM(t testing.TB, settings string) {
	t.Helper()
	serve(t, "", "[auth]\nsources = [\"pam\"]\n"+quickly+settings)
}

// TestPostfixSystem and TestEximSystem have people with an account of the system
// and mail in their homes.
func TestPostfixSystem(t *testing.T) {
	need(t, "postfix")
	startPostfix(t, "home_mailbox=Maildir/")
	testSystem(t)
}

func TestEximSystem(t *testing.T) {
	need(t, "exim")
	startExim(t, "dc_localdelivery=maildir_home")
	testSystem(t)
}

func testSystem(t *testing.T) {
	alice, bob := addPerson(t, "alice"), addPerson(t, "bob")
	servePAM(t, "fold_case = true\n")
	for _, p := range []person{alice, bob} {
		maildir := filepath.Join(p.home, "Maildir")
		letters := []letter{sendmail(t, p.name), sendSMTP(t, p.name+"@"+hostname)}
		expectMail(t, p.name, p.password, maildir, letters...)
		for _, login := range []string{
			p.name + "@" + hostname,
			p.name + "@" + strings.ToUpper(hostname),
			strings.ToUpper(p.name),
		} {
			expectUIDLs(t, login, p.password, stored(t, maildir))
		}
		letters = append(letters, sendSMTP(t, p.name+"@"+hostname))
		expectMail(t, p.name, p.password, maildir, letters...)
	}
	for _, c := range []struct{ login, password string }{
		{alice.name, bob.password},
		{alice.name, alice.password + "x"},
		{alice.name, strings.ToUpper(alice.password)},
		{alice.name + "@elsewhere.test", alice.password},
		{alice.name + "@" + hostname + "@elsewhere.test", alice.password},
		{"root", alice.password},
		{"nobody-of-that-name", alice.password},
	} {
		expectStatus(t, statusAuth, c.login, c.password)
	}
}

// TestPostfixAccounts and TestEximAccounts have PAM decide who may log in with a
// right password.
func TestPostfixAccounts(t *testing.T) {
	need(t, "postfix")
	configurePostfix(t, "home_mailbox=Maildir/")
	testAccounts(t)
}

func TestEximAccounts(t *testing.T) {
	need(t, "exim")
	configureExim(t, "dc_localdelivery=maildir_home")
	testAccounts(t)
}

func testAccounts(t *testing.T) {
	people := make(map[string]person)
	for _, name := range []string{"good", "locked", "expired", "aged", "noshell"} {
		people[name] = addPerson(t, name)
	}
	run(t, "", "usermod", "--lock", "locked")
	run(t, "", "chage", "--expiredate", "2020-01-01", "expired")
	run(t, "", "chage", "--lastday", "0", "aged") // has to choose another password
	run(t, "", "usermod", "--shell", "/usr/sbin/nologin", "noshell")
	servePAM(t, "")
	expect := func(statuses map[string]string) {
		t.Helper()
		for name, want := range statuses {
			expectStatus(t, want, name, people[name].password)
			expectStatus(t, statusAuth, name, "not "+people[name].password)
		}
	}
	expect(map[string]string{
		"good": statusOK, "locked": statusAuth, "expired": statusAuth, "aged": statusAuth,
		"noshell": statusOK, // many have mail and no shell: Debian's PAM allows it
	})
	// What the administrator writes counts from the next login on.
	write(t, pamService, "auth required pam_shells.so\n"+run(t, "", "cat", pamService), 0o644)
	expect(map[string]string{"good": statusOK, "noshell": statusAuth})
	run(t, "", "usermod", "--unlock", "locked")
	expect(map[string]string{"locked": statusOK})
}

// TestPostfixSpool has Maildirs in the system's mail folder, which the
// administrator makes for each user.
func TestPostfixSpool(t *testing.T) {
	need(t, "postfix")
	startPostfix(t, "home_mailbox=", "mail_spool_directory=/var/mail/")
	alice := addPerson(t, "alice")
	maildir := filepath.Join("/var/mail", alice.name)
	run(t, "", "install", "-d", "-m", "700", "-o", alice.name, "-g", alice.name, maildir)
	servePAM(t, "")
	expectMail(t, alice.name, alice.password, maildir, sendmail(t, alice.name), sendSMTP(t, alice.name+"@"+hostname))
}
