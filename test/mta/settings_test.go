package mta

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPostfixPAMSettings has each setting of PAM other than by default, and the
// default in the way.
func TestPostfixPAMSettings(t *testing.T) {
	need(t, "postfix")
	configurePostfix(t, "home_mailbox=Maildir/")
	const service, helper = "/etc/pam.d/mail", "/srv/sidepop-pam"
	write(t, service, run(t, "", "cat", pamService)+"account optional pam_echo.so Hello %u from %H\n"+
		"session required pam_mkhomedir.so umask=0077\n", 0o644)
	write(t, pamService, "auth required pam_deny.so\naccount required pam_deny.so\n", 0o644)
	run(t, "", "cp", "/usr/libexec/sidepop/sidepop-pam", helper)
	must(t, os.Remove("/usr/libexec/sidepop/sidepop-pam"))
	alice := addPerson(t, "alice")
	must(t, os.RemoveAll(alice.home))
	servePAM(t, fmt.Sprintf("pam_service = \"mail\"\npam_session = true\npam_helper = %q\npam_domains = [\"people.test\"]\nfold_case = false\n", helper))
	expectStatus(t, statusOK, alice.name, alice.password)
	if fi, err := os.Stat(alice.home); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the home that the session makes: %v, %v", fi, err)
	}
	expectStatus(t, statusOK, alice.name+"@People.test", alice.password)
	expectStatus(t, statusAuth, alice.name+"@"+hostname, alice.password)
	expectStatus(t, statusAuth, "Alice", alice.password)
	log := run(t, "", "cat", sidepopLog)
	if !strings.Contains(log, `"line":"Hello alice from 127.1.0.1; Creating directory '/home/alice'.","message":"PAM said"`) {
		t.Error("what PAM says is not in the log")
	}
}

// TestPostfixSources has a user in two sources, who are asked in the order of the
// configuration, for the domains that they are bound to.
func TestPostfixSources(t *testing.T) {
	need(t, "postfix")
	configurePostfix(t, "home_mailbox=Maildir/")
	alice := addPerson(t, "alice")
	system := alice.password
	file := addUsers(t, alice)[0].password
	other := newPassword()
	write(t, usersFile, run(t, "", "cat", usersFile)+fmt.Sprintf("alice@file.test:{PLAIN}%s:%d:%d::%s\n", other, alice.uid, alice.gid, alice.home), 0o600)
	for settings, c := range map[string]struct{ system, file, address string }{ // with the password that is there
		"":                                   {statusOK, statusOK, statusOK},
		"sources = [\"pam\", \"passwd\"]\n":  {statusOK, statusOK, statusOK},
		"sources = [\"pam\"]\n":              {statusOK, statusAuth, statusAuth},
		"sources = [\"passwd\"]\n":           {statusAuth, statusOK, statusOK},
		"passwd_domains = [\"file.test\"]\n": {statusOK, statusAuth, statusOK},
	} {
		t.Run(settings, func(t *testing.T) { // with a server of its own
			serve(t, "", fmt.Sprintf("[auth]\npasswd_file = %q\n%s%s", usersFile, quickly, settings))
			expectStatus(t, c.system, alice.name, system)
			expectStatus(t, c.file, alice.name, file)
			expectStatus(t, c.address, "alice@file.test", other)
			expectStatus(t, statusAuth, alice.name, other)
			for _, s := range []struct{ source, password, status string }{{"pam", system, c.system}, {"passwd", file, c.file}} {
				r := try(t, s.password+"\n", program, "auth", "test", alice.name)
				if right := r.status == 0 && strings.HasPrefix(r.stdout, "source\t"+s.source+"\n"); right != (s.status == statusOK) {
					t.Errorf("auth test with the password of %s: exit status %d, %q, %q", s.source, r.status, r.stdout, r.stderr)
				}
			}
		})
	}
}

// TestPostfixRememberedVirtual has logins of virtual users remembered until a table
// is another one.
func TestPostfixRememberedVirtual(t *testing.T) {
	need(t, "postfix")
	addVirtualUser(t, virtualBase)
	people := virtualPeople(t)[:1]
	alice, m := &people[0], mapTypes[0]
	tables := m.makeTables(t, people)
	configurePostfix(t, virtualParameters(virtualBase, tables)...)
	serve(t, "", fmt.Sprintf("[auth]\nsources = [\"virtual\"]\npassword_maps = %q\ncache_time = \"10m\"\n%s", tables.passwords, quickly))
	settle()
	expectStatus(t, statusOK, alice.address, alice.password)
	expectStatus(t, statusOK, alice.address, alice.password)
	old := alice.password
	alice.password = newPassword()
	alice.secret = hashed(t, alice.password)
	m.makeTables(t, people)
	expectStatus(t, statusAuth, alice.address, old)
	expectStatus(t, statusOK, alice.address, alice.password)
	// The domain is taken away.
	settle()
	expectStatus(t, statusOK, alice.address, alice.password)
	configurePostfix(t, "virtual_mailbox_domains=")
	expectStatus(t, statusAuth, alice.address, alice.password)
}
