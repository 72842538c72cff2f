package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// Users that need not be in /etc/passwd.
const (
	hostileUID = 61001
	victimUID  = 61002
)

// marker is in every line that nobody but its owner may see.
const marker = "FOREIGN-4b1d9e"

// TestHostileOwners: whatever an owner makes of a Maildir, before the login or
// during the session, nothing foreign is sent, nobody has to wait, good messages
// arrive, and the other's mail is untouched.
func TestHostileOwners(t *testing.T) {
	needRoot(t)
	s := newSite(t)
	secret, good := secretMail(), goodMail()
	victim := s.user("victim", victimUID, victimUID, secret)
	var before, during []account
	for i := range hostilities {
		// The names of the other's messages are there too, so that what is done to
		// one's own could be done to these.
		before = append(before, s.user(fmt.Sprint("before", i), hostileUID, hostileUID, good))
		during = append(during, s.user(fmt.Sprint("during", i), hostileUID, hostileUID, append(placeholders(), good...)))
	}
	tolerated := []string{msgNotServed, msgFault, msgLoginFailed, "not watched"}
	for i, h := range hostilities {
		h.do(t, before[i].maildir, victim)
	}
	srv := s.serve("", tolerated...)
	never := foreign(t)
	srv.fetchOne(victim, secret[0])
	for i, h := range hostilities {
		t.Run(h.name, func(t *testing.T) {
			arrived := func(got []byte) {
				t.Helper()
				checkForeign(t, got, never)
				for _, m := range good {
					if h.good && !bytes.Contains(got, stuffed(m.octets())) {
						t.Errorf("%.40q has not arrived", m.name)
					}
				}
			}
			arrived(srv.everything(t, before[i], nil))
			changed := srv.everything(t, during[i], func() {
				for _, m := range placeholders() {
					must(t, os.Remove(m.path(during[i].maildir)))
				}
				h.do(t, during[i].maildir, victim)
			})
			arrived(changed)
			checkForeign(t, srv.everything(t, during[i], nil), never)
			mustBeThere(t, victim.maildir, secret)
		})
		srv.fetchOne(victim, secret[0])
	}
}

// placeholders have the names of secretMail. They are there when a session
// begins.
func placeholders() []mail {
	mails := secretMail()
	for i := range mails {
		mails[i].data = []byte("Subject: mine\n\nwill vanish\n")
	}
	return mails
}

// stuffed is a message as it crosses, without the end.
func stuffed(octets []byte) []byte {
	return bytes.ReplaceAll(octets, []byte("\n."), []byte("\n.."))
}

func checkForeign(t *testing.T, got []byte, never [][]byte) {
	t.Helper()
	for _, n := range never {
		if bytes.Contains(got, n) {
			t.Fatalf("%.20q was sent", n)
		}
	}
}

// everything does all that a client can, over TLS, with every message, marks all
// for removal and quits. It gives all that it is sent, in time. Meanwhile is done
// after the login.
func (s *server) everything(t *testing.T, a account, meanwhile func()) []byte {
	t.Helper()
	c, err := s.dialTLS()
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(answerTime)))
	read := func() (lines []byte) { // a status line
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%s: instead of an answer: %v", a.name, err)
		}
		return line
	}
	read()
	_, err = fmt.Fprintf(c, "USER %s\r\nPASS %s\r\n", a.name, a.password)
	must(t, err)
	read()
	all := read()
	var messages int
	if n, err := fmt.Sscanf(string(all), "+OK %d messages", &messages); n != 1 || err != nil {
		if !bytes.HasPrefix(all, []byte("-ERR [SYS/")) {
			t.Errorf("PASS: %q", all)
		}
		return all
	}
	if meanwhile != nil {
		meanwhile()
	}
	var commands strings.Builder
	commands.WriteString("STAT\r\nLIST\r\nUIDL\r\n")
	for _, format := range []string{"RETR %d\r\n", "TOP %d 5\r\n", "DELE %d\r\n"} {
		for i := range messages {
			fmt.Fprintf(&commands, format, i+1)
		}
	}
	commands.WriteString("QUIT\r\n")
	_, err = io.WriteString(c, commands.String())
	must(t, err)
	rest, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s: %v, after %q", a.name, err, tail(rest))
	}
	return append(all, rest...)
}

// TestChangedMail: as [TestTruncatedMessage] and [TestRemovedMessage], over TLS
// and with mail that only its owner can read.
func TestChangedMail(t *testing.T) {
	needRoot(t)
	s := newSite(t)
	mails := largeFirst()
	secret := secretMail()
	victim := s.user("victim", victimUID, victimUID, secret)
	truncated := s.user("truncated", hostileUID, hostileUID, mails)
	removed := s.user("removed", hostileUID, hostileUID, mails)
	srv := s.serve("", msgFault, msgNotServed)

	srv.fetchOne(victim, secret[0])
	c := srv.loginTLS(truncated)
	c.ok(t, "RETR 1")
	must(t, os.Truncate(mails[0].path(truncated.maildir), 1<<20))
	if got, err := c.message(); err == nil || !bytes.HasPrefix(mails[0].octets(), got) {
		t.Errorf("%d octets of a message that was truncated, %v", len(got), err)
	}
	srv.fetchOne(victim, secret[0])

	c = srv.loginTLS(removed)
	c.ok(t, "RETR 1")
	must(t, os.Remove(mails[0].path(removed.maildir)))
	must(t, os.Symlink(secret[0].path(victim.maildir), mails[0].path(removed.maildir)))
	if got, err := c.message(); err != nil || !bytes.Equal(got, mails[0].octets()) {
		t.Errorf("%v, %s", err, difference(got, mails[0].octets()))
	}
	if got, err := c.try("RETR 1"); err != nil || !strings.HasPrefix(got, "-ERR") {
		t.Errorf("RETR of a message that is a link now: %q, %v", got, err)
	}
	c.ok(t, "RETR 2")
	if got, err := c.message(); err != nil || !bytes.Equal(got, mails[1].octets()) {
		t.Errorf("%v, %s", err, difference(got, mails[1].octets()))
	}
	c.ok(t, "QUIT")
	srv.fetchOne(victim, secret[0])
}

// TestWhoseMail: accounts whose mail is never served are told so, and the log
// tells why; no account gets at another one's Maildir.
func TestWhoseMail(t *testing.T) {
	needRoot(t)
	s := newSite(t)
	mails := secretMail()
	victim := s.user("victim", victimUID, victimUID, mails)
	shared := account{name: "shared", password: "secret-shared", uid: hostileUID, gid: hostileUID, home: victim.home}
	grouped := account{name: "grouped", password: "secret-grouped", uid: hostileUID, gid: victimUID, home: victim.home}
	s.accounts = append(s.accounts, shared, grouped)
	tests := []struct {
		a      account
		answer string
		reason string
	}{
		{s.user("root", 0, 0, mails), "-ERR [SYS/PERM]", "the mail of root belongs to root, whose mail is never served"},
		{s.user("wheel", hostileUID, 0, mails), "-ERR [SYS/PERM]", "the mail of wheel belongs to root, whose mail is never served"},
		{s.user("service", 999, 999, mails), "-ERR [SYS/PERM]", "the mail of service belongs to user id 999, and that of ids below 1000 is not served"},
		{s.user("below", 60999, 60999, mails), "", ""}, // the same from minimum_uid on
		{shared, "-ERR [SYS/", "permission denied"},
		{grouped, "-ERR [SYS/", "permission denied"},
	}
	srv := s.serve("", msgLoginFailed, "not watched", msgNotServed)
	srv.fetchOne(victim, mails[0])
	for _, test := range tests {
		t.Run(test.a.name, func(t *testing.T) {
			c := srv.connectTLS()
			c.ok(t, "USER "+test.a.name)
			got, err := c.try("PASS " + test.a.password)
			if test.answer == "" {
				if err != nil || !strings.HasPrefix(got, "+OK 3 messages") {
					t.Errorf("PASS: %q, %v", got, err)
				}
				return
			}
			if err != nil || !strings.HasPrefix(got, test.answer) {
				t.Errorf("PASS: %q, %v, want %s", got, err, test.answer)
			}
			found := false
			for _, e := range srv.logged(msgLoginFailed, 1) {
				found = found || e.User == test.a.name && strings.Contains(e.Reason, test.reason)
				if e.User == test.a.name {
					t.Logf("in the log: %s", e.Reason)
				}
			}
			if !found {
				t.Errorf("the log does not say %q", test.reason)
			}
		})
	}
	srv.fetchOne(victim, mails[0])
	mustBeThere(t, victim.maildir, mails)
}
