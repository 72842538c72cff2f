package systemd

import (
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPortTaken installs the package where another server has its port.
func TestPortTaken(t *testing.T) {
	need(t)
	showJournal(t)
	other, err := net.Listen("tcp", ":995")
	must(t, err)
	defer other.Close()
	if said := install(t, earlier); !strings.Contains(said, `see "sidepop check"`) {
		t.Errorf("the installation does not say what to do:\n%s", said)
	}
	if r := try(t, "", "sidepop", "check"); !strings.Contains(r.output, "listens on [::]:995, where sidepop is to listen") {
		t.Errorf("sidepop check does not say who has the port:\n%s", r.output)
	}
	must(t, other.Close())
	run(t, "", "systemctl", "restart", pop3sSocket)
	expectLogin(t, addPerson(t, "alice"))
}

// TestUnreadable has a configuration that is root's alone, and does what sidepop check
// says.
func TestUnreadable(t *testing.T) {
	setUp(t)
	alice := addPerson(t, "alice")
	configure(t, "[limits]", "bad_commands = 7")
	must(t, os.Chmod(configFile, 0o600))
	if r := try(t, "", "systemctl", "restart", front); r.status == 0 {
		t.Error("the front starts without its configuration")
	}
	r := try(t, "", "sidepop", "check")
	found := regexp.MustCompile(`can't read its configuration: .*\n  What to do: (.*)`).FindStringSubmatch(r.output)
	if found == nil {
		t.Fatalf("sidepop check does not say why:\n%s", r.output)
	}
	run(t, "", "sh", "-c", found[1])
	run(t, "", "systemctl", "restart", front)
	expectLogin(t, alice)
}

// TestPurgeMount purges the package where its folder is a file system of its own,
// which is emptied.
func TestPurgeMount(t *testing.T) {
	const state = "/var/lib/sidepop"
	setUp(t)
	must(t, os.MkdirAll(state, 0o700))
	run(t, "", "mount", "-t", "tmpfs", "tmpfs", state)
	expectLogin(t, addPerson(t, "alice"))
	run(t, "", "apt-get", "purge", "--yes", "sidepop")
	left, err := os.ReadDir(state)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind in %s: %v", state, left)
	}
}
