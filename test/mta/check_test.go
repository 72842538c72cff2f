package mta

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Exit statuses of sidepop check.
const (
	inOrder = 0
	warned  = 1
	broken  = 2
)

// expectCheck runs sidepop check and looks for words in what it says.
func expectCheck(t testing.TB, status int, words []string, args ...string) {
	t.Helper()
	r := try(t, "", program, append([]string{"check"}, args...)...)
	if r.status != status {
		t.Errorf("check %q: exit status %d, want %d\n%s%s", args, r.status, status, r.stdout, r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.stdout, w) {
			t.Errorf("check %q: %q is not in what it says:\n%s%s", args, w, r.stdout, r.stderr)
		}
	}
}

// TestPostfixCheck and TestEximCheck have sidepop check say what it finds.
func TestPostfixCheck(t *testing.T) {
	need(t, "postfix")
	startPostfix(t, "home_mailbox=Maildir/")
	alice := testCheck(t, "Postfix", "home_mailbox = Maildir/ in /etc/postfix/main.cf")

	// Mail may go elsewhere.
	write(t, "/etc/aliases", "alice: bob\n", 0o644)
	run(t, "", "newaliases")
	expectCheck(t, inOrder, []string{"alice is an alias of bob"}, alice.name)
	configurePostfix(t, "mailbox_command=/usr/bin/procmail")
	expectCheck(t, warned, []string{"hands the mail of system users to another program (mailbox_command in /etc/postfix/main.cf)", "postconf -X mailbox_command"})

	// An mbox can't be served.
	configurePostfix(t, "mailbox_command=", "home_mailbox=Mailbox")
	remedy := "postconf -e 'home_mailbox = Maildir/' && postfix reload"
	expectCheck(t, broken, []string{"home_mailbox = Mailbox", "/etc/postfix/main.cf", remedy})
	expectCheck(t, broken, []string{remedy}, alice.name)
	configurePostfix(t, "home_mailbox=Maildir/", "mail_spool_directory=/var/mail/")
	expectCheck(t, inOrder, nil)

	run(t, "", "postfix", "stop")
	expectCheck(t, warned, []string{"Postfix is not running", "systemctl enable --now postfix"})
	run(t, "", "postfix", "start")
}

func TestEximCheck(t *testing.T) {
	need(t, "exim")
	startExim(t, "dc_localdelivery=maildir_home")
	alice := testCheck(t, "exim", "dc_localdelivery='maildir_home'")
	configureExim(t, "dc_localdelivery=mail_spool")
	remedy := "Set dc_localdelivery='maildir_home' in /etc/exim4/update-exim4.conf.conf, then: update-exim4.conf && systemctl reload exim4"
	expectCheck(t, broken, []string{"mail_spool", remedy})
	expectCheck(t, broken, []string{remedy}, alice.name)
}

// testCheck has everything in order at first, with a server that runs.
func testCheck(t *testing.T, mta, setting string) person {
	alice := addPerson(t, "alice")
	servePAM(t, fmt.Sprintf("pam_service = %q\n", "sidepop"))
	letters := []letter{sendmail(t, alice.name)}
	awaitStored(t, alice.home+"/Maildir", letters...)
	expectCheck(t, inOrder, []string{mta, setting, "~/Maildir", "system users, through PAM with " + pamService, "Everything is in order."})
	for _, name := range []string{alice.name, "Alice@" + hostname} {
		expectCheck(t, inOrder, []string{"has the account alice", alice.home + "/Maildir", setting, "1 in new"}, name)
	}
	expectCheck(t, broken, []string{"nobody-of-that-name"}, "nobody-of-that-name")
	expectCheck(t, broken, []string{"alice@elsewhere.test", "is no local domain of " + mta}, "alice@elsewhere.test")
	expectCheck(t, broken, []string{"root, whose mail is never served"}, "root")
	expectCheck(t, broken, nil, "--no-such-option")

	write(t, filepath.Join(alice.home, ".forward"), "\\alice\n", 0o644)
	expectCheck(t, inOrder, []string{".forward"}, alice.name)
	must(t, os.Remove(filepath.Join(alice.home, ".forward")))
	home := filepath.Dir(alice.home)
	must(t, os.Chmod(home, 0o700))
	expectCheck(t, broken, []string{"the folder " + home + " belongs to user id 0", "chmod o+x " + home}, alice.name)
	must(t, os.Chmod(home, 0o755))

	r := try(t, alice.password+"\n", program, "auth", "test", alice.name)
	if want := fmt.Sprintf("source\tpam\naccount\talice\nmailbox\t%s/Maildir\n", alice.home); r.status != 0 || r.stdout != want {
		t.Errorf("auth test: exit status %d, %q, want %q\n%s", r.status, r.stdout, want, r.stderr)
	}
	r = try(t, alice.password+"x\n", program, "auth", "test", alice.name)
	if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "wrong user name or password") || strings.Contains(r.stderr, alice.password) {
		t.Errorf("auth test with a wrong password: exit status %d, %q, %q", r.status, r.stdout, r.stderr)
	}
	r = try(t, alice.password+"\n", program, "auth", "test", "nobody-of-that-name")
	if r.status != 1 || !strings.Contains(r.stderr, `the system has no user "nobody-of-that-name"`) {
		t.Errorf("auth test of nobody: exit status %d, %q, %q", r.status, r.stdout, r.stderr)
	}
	return alice
}

// TestPostfixCheckVirtual follows virtual users to their mail.
func TestPostfixCheckVirtual(t *testing.T) {
	need(t, "postfix")
	startPostfix(t)
	people := virtualPeople(t)
	people[1].mailbox = strings.TrimSuffix(people[1].mailbox, "/")
	m := mapTypes[0]
	tables := m.makeTables(t, people)
	base := filepath.Join(virtualBase, m.name)
	addVirtualUser(t, virtualBase)
	addVirtualUser(t, base)
	reloadPostfix(t, virtualParameters(base, tables)...)
	serveVirtual(t, tables)
	letters := []letter{sendmail(t, people[0].address)}
	awaitStored(t, filepath.Join(base, people[0].mailbox), letters...)
	expectCheck(t, inOrder, []string{
		"has the account " + people[0].address, "the entry of " + people[0].address + " in " + tables.mailboxes, "1 in new", "user id " + virtualUID,
	}, people[0].address)
	expectCheck(t, broken, []string{"let the entry of " + people[1].address + " in " + tables.mailboxes + " end in a slash"}, people[1].address)
	expectCheck(t, broken, []string{virtualDomain + " is a virtual domain of Postfix", "give the address a password"}, people[len(people)-1].address)

	reloadPostfix(t, "virtual_mailbox_maps=inline:{@"+virtualDomain+"="+people[0].mailbox+"}")
	expectCheck(t, warned, []string{"has no mailbox of its own", "the entry of @" + virtualDomain}, people[0].address)
	reloadPostfix(t, "virtual_mailbox_maps="+tables.mailboxes)

	// What the keeper can't read, though root can.
	for _, c := range []struct{ table, words string }{
		{tables.mailboxes, "Postfix's virtual mailboxes (" + tables.mailboxes + " in /etc/postfix) can't be looked up"},
		{tables.passwords, "The passwords of virtual users (" + tables.passwords + " in " + configFile + ") can't be looked up"},
	} {
		_, path, _ := strings.Cut(c.table, ":")
		run(t, "", "sh", "-c", "chown postfix "+path+"*; chmod 600 "+path+"*")
		expectCheck(t, broken, []string{c.words})
		expectCheck(t, broken, []string{"can't be asked: ", path}, people[0].address)
		r := try(t, people[0].password+"\n", program, "auth", "test", people[0].address)
		if r.status != 1 || !strings.Contains(r.stderr, path) {
			t.Errorf("auth test without %s: exit status %d, %q", path, r.status, r.stderr)
		}
		run(t, "", "sh", "-c", "chown root "+path+"*")
	}

	reloadPostfix(t, "virtual_uid_maps=static:200")
	expectCheck(t, broken, []string{"Virtual mailboxes belong to user id 200", "Set minimum_uid = 200"})
	reloadPostfix(t, "virtual_mailbox_domains=hash:/etc/postfix/none")
	expectCheck(t, broken, []string{"Postfix's virtual domains (hash:/etc/postfix/none in /etc/postfix) can't be looked up"})
}
