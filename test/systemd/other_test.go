package systemd

import (
	"os"
	"testing"
)

// TestPlaintext has port 110 as well: the administrator enables its socket.
func TestPlaintext(t *testing.T) {
	setUp(t)
	alice := addPerson(t, "alice")
	alice.sendmail(t)
	expectLogin(t, alice) // the front runs without it
	run(t, "", "systemctl", "enable", pop3Socket)
	run(t, "", "systemctl", "restart", pop3Socket, front)
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

// TestAutopkgtest runs the tests that the source package brings for Debian's
// machines.
func TestAutopkgtest(t *testing.T) {
	setUp(t)
	scripts, err := os.ReadDir("/srv/autopkgtest")
	must(t, err)
	for _, s := range scripts {
		if s.Name() == "control" {
			continue
		}
		t.Run(s.Name(), func(t *testing.T) {
			t.Setenv("AUTOPKGTEST_TMP", t.TempDir())
			run(t, "", "/srv/autopkgtest/"+s.Name())
		})
	}
}
