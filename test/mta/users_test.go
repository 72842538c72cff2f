package mta

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// addUsers writes the passwd file of sidepop: the people with a password that is
// not the system's.
func addUsers(t testing.TB, people ...person) []person {
	t.Helper()
	var lines strings.Builder
	for i := range people {
		p := &people[i]
		p.password = newPassword()
		fmt.Fprintf(&lines, "%s:{PLAIN}%s:%d:%d::%s\n", p.name, p.password, p.uid, p.gid, p.home)
	}
	write(t, usersFile, lines.String(), 0o600)
	return people
}

// TestPostfixUsersFile and TestEximUsersFile have system users with passwords of
// their own in sidepop's passwd file, and homes that the MTA delivers to.
func TestPostfixUsersFile(t *testing.T) {
	need(t, "postfix")
	startPostfix(t, "home_mailbox=Maildir/")
	testUsersFile(t)
}

func TestEximUsersFile(t *testing.T) {
	need(t, "exim")
	startExim(t, "dc_localdelivery=maildir_home")
	testUsersFile(t)
}

func testUsersFile(t *testing.T) {
	people := addUsers(t, addPerson(t, "alice"), addPerson(t, "bob"))
	serve(t, "", fmt.Sprintf("[auth]\npasswd_file = %q\n%s", usersFile, quickly))
	for _, p := range people {
		letters := []letter{sendmail(t, p.name+"@"+hostname), sendSMTP(t, p.name+"@"+hostname)}
		expectMail(t, p.name, p.password, filepath.Join(p.home, "Maildir"), letters...)
		expectStatus(t, statusAuth, p.name, "not "+p.password)
	}
	expectStatus(t, statusAuth, people[0].name, people[1].password)
	expectStatus(t, statusAuth, "nobody-of-that-name", people[0].password)
}
