package mta

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestPostfixNames has somebody guess at one user from many addresses, each time by
// another of the names that PAM takes for the user's.
func TestPostfixNames(t *testing.T) {
	need(t, "postfix")
	configurePostfix(t, "home_mailbox=Maildir/", "mydestination="+hostname+", localhost, other.test")
	alice := addPerson(t, "alice")
	servePAM(t, "fold_case = true\n")
	names := []string{
		alice.name, alice.name + "@" + hostname, alice.name + "@localhost", alice.name + "@other.test", "ALICE", alice.name + "@other.test.", "Alice@LOCALHOST",
	}
	for _, name := range names[:5] {
		expectStatus(t, statusOK, name, alice.password)
	}
	var last time.Duration
	for n, name := range names {
		s := connectFrom(t, net.IPv4(127, 2, 0, byte(n+1)))
		begin := time.Now()
		if got := s.logIn(t, name, "not "+alice.password); !strings.HasPrefix(got, statusAuth) {
			t.Errorf("login as %s: %q", name, got)
		}
		last = time.Since(begin)
	}
	if last < 8*time.Second {
		t.Errorf("the seventh guess took %v, want a delay of 8 s in it", last)
	}
}
