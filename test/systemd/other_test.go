package systemd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPlaintext has port 110 as well: the administrator enables its socket, as the
// unit says.
func TestPlaintext(t *testing.T) {
	setUp(t)
	alice := addPerson(t, "alice")
	alice.sendmail(t)
	expectLogin(t, alice) // the front runs without it
	run(t, "", "systemctl", "enable", pop3Socket)
	run(t, "", "systemctl", "stop", front)
	run(t, "", "systemctl", "start", pop3Socket)
	alice.expectLetter(t, "pop3://localhost:110/1")
	alice.expectLetter(t, "pop3s://localhost/1")
}

// TestInetd has systemd start a process for each connection, as inetd does.
func TestInetd(t *testing.T) {
	setUp(t)
	alice := addPerson(t, "alice")
	alice.sendmail(t)
	write(t, "/etc/systemd/system/inetd.socket", `[Socket]
ListenStream=1110
Accept=yes
`)
	write(t, "/etc/systemd/system/inetd@.service", `[Service]
ExecStart=/usr/sbin/sidepop inetd
StandardInput=socket
StandardError=journal
`)
	run(t, "", "systemctl", "start", "inetd.socket")
	for range 3 {
		alice.expectLetter(t, "pop3://localhost:1110/1")
	}
	expectStates(t, map[string]string{front: "inactive static", keeper: "active static"})
}

// TestAutopkgtest runs the tests that the source package brings for Debian's own
// machines. They configure Postfix.
func TestAutopkgtest(t *testing.T) {
	if need(t) != "postfix" {
		return
	}
	setUp(t)
	const dir = "/srv/autopkgtest"
	control, err := os.ReadFile(filepath.Join(dir, "control"))
	must(t, err)
	names := regexp.MustCompile(`(?m)^Tests: (.*)$`).FindAllStringSubmatch(string(control), -1)
	if len(names) == 0 {
		t.Fatalf("no tests in\n%s", control)
	}
	for _, n := range names {
		for _, name := range strings.Fields(n[1]) {
			t.Setenv("AUTOPKGTEST_TMP", t.TempDir())
			t.Logf("%s:\n%s", name, run(t, "", filepath.Join(dir, name)))
		}
	}
}
